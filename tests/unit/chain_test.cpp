// SPDX-License-Identifier: MIT
// A walk: who is called, in which order, and with which result. Registration is in
// chain_registration_test.cpp, forks, signals and vfork children in chain_fork_test.cpp, threads in
// chain_threads_test.cpp.
#include <climits>

#include "recording_watcher.hpp"

using taskwatch::Chain;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};
constexpr Walk clone_walk = {.action = WATCH_TASK_CLONE, .need = WATCH_MASK_CLONE};

// Static storage without a constructor that would run: usable before anybody's.
constinit Chain constant_chain;

using ChainOrder = WithChain;
using ChainStop = WithChain;
using ChainMasks = WithChain;
using ChainSerials = WithChain;

TEST_F(ChainOrder, AnEmptyChainCallsNobodyAndSaysDone) {
    EXPECT_EQ(walk(), "");
    EXPECT_EQ(result.value, NOTIFY_DONE);
    EXPECT_FALSE(result.stopped());
    EXPECT_EQ(result.serial, 0u);
    EXPECT_EQ(chain->wanted(), 0u);
    EXPECT_EQ(walk({.action = WATCH_TASK_INIT, .need = 0}), "");
    EXPECT_EQ(chain->name_of(nullptr, own), nullptr);
    EXPECT_EQ(constant_chain.wanted(), 0u);
}

TEST_F(ChainOrder, DescendingPriorityWhateverTheOrderOfRegistration) {
    RecordingWatcher low("low", log, -5), high("high", log, 100), middle("middle", log);
    RecordingWatcher top("top", log, INT_MAX);
    for (RecordingWatcher *w : {&middle, &low, &top, &high}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "top high middle low");
}

TEST_F(ChainOrder, EqualPriorityInOrderOfRegistration) {
    RecordingWatcher a("a", log, 7), b("b", log, 7), c("c", log, 7), first("first", log, 8);
    for (RecordingWatcher *w : {&b, &a, &first, &c}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "first b a c");
    ASSERT_EQ(remove(b), 0);
    ASSERT_EQ(add(b), 0);
    EXPECT_EQ(walk(), "first a c b");
}

TEST_F(ChainOrder, APriorityIsReadAtRegistrationOnly) {
    RecordingWatcher a("a", log, 2), b("b", log, 1);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    b.nb.priority = 3;
    EXPECT_EQ(walk(), "a b");
    RecordingWatcher c("c", log, 2);
    ASSERT_EQ(add(c), 0);
    EXPECT_EQ(walk(), "a c b");
}

TEST_F(ChainOrder, ACallbackGetsItsBlockTheActionAndTheTask) {
    RecordingWatcher a("a", log);
    task_watch *seen = nullptr;
    unsigned long action = 0;
    a.inside = [&](unsigned long with, task_watch &of) { action = with, seen = &of; };
    ASSERT_EQ(add(a), 0);
    walk({.action = WATCH_TASK_EXIT | WATCH_ON_BEHALF, .need = WATCH_MASK_EXIT});
    EXPECT_EQ(seen, &task);
    EXPECT_EQ(action, WATCH_TASK_EXIT | WATCH_ON_BEHALF);
}

TEST_F(ChainStop, TheResultIsTheLastValueReturned) {
    RecordingWatcher a("a", log, 2, NOTIFY_OK), b("b", log, 1, 17);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    walk();
    EXPECT_EQ(result.value, 17);
    EXPECT_EQ(task.verdict, 17);
    EXPECT_FALSE(result.stopped());
}

TEST_F(ChainStop, AStopHidesTheEventFromTheRestAndOnlyThatEvent) {
    RecordingWatcher a("a", log, 2), b("b", log, 1, NOTIFY_BAD), c("c", log);
    for (RecordingWatcher *w : {&a, &b, &c}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "a b");
    EXPECT_EQ(result.value, NOTIFY_BAD);
    EXPECT_STREQ(result.stopped_by, "b");
    b.returns = NOTIFY_OK;
    EXPECT_EQ(walk(clone_walk), "a b c");
    EXPECT_EQ(result.value, NOTIFY_DONE);
}

TEST_F(ChainStop, OnlyTheBitStopMaskStops) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    for (int stops : {NOTIFY_STOP_MASK, NOTIFY_STOP, notifier_from_errno(-ENOMEM), -EACCES, -4095, -1}) {
        a.returns = stops;
        EXPECT_EQ(walk(), "a") << stops;
        EXPECT_EQ(result.value, stops);
    }
    for (int passes : {0, EAGAIN, 0x7fff, INT_MIN}) {
        a.returns = passes;
        EXPECT_EQ(walk(), "a b") << passes;
    }
}

TEST_F(ChainStop, ObserversAreCalledLastAndAfterAStopWithTheVerdictAndTheStopper) {
    RecordingWatcher observer("observer", log, WATCH_PRIORITY_OBSERVER), second("second", log, INT_MIN);
    RecordingWatcher lowest("lowest", log, INT_MIN + 1, NOTIFY_STOP), hidden("hidden", log, INT_MIN + 1);
    int verdict = 0;
    std::string stopper;
    observer.inside = [&](unsigned long, task_watch &of) {
        verdict = of.verdict;
        stopper = of.stopped_by ? of.stopped_by : "nobody";
    };
    for (RecordingWatcher *w : {&observer, &lowest, &second, &hidden}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "lowest observer(stopped) second(stopped)");
    EXPECT_EQ(verdict, NOTIFY_STOP);
    EXPECT_EQ(stopper, "lowest");

    lowest.returns = 5;
    EXPECT_EQ(walk(), "lowest hidden observer second");
    EXPECT_EQ(verdict, NOTIFY_DONE) << "what the last one before the observers returned";
    EXPECT_EQ(stopper, "nobody");
}

TEST_F(ChainStop, AnObserversOwnValueIsIgnored) {
    RecordingWatcher watcher("watcher", log, 0, NOTIFY_OK);
    RecordingWatcher a("a", log, INT_MIN, NOTIFY_BAD), b("b", log, INT_MIN, NOTIFY_STOP);
    for (RecordingWatcher *w : {&a, &b, &watcher}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "watcher a b");
    EXPECT_EQ(result.value, NOTIFY_OK);
    EXPECT_FALSE(result.stopped());
    ASSERT_EQ(remove(watcher), 0);
    EXPECT_EQ(walk(), "a b");
    EXPECT_EQ(result.value, NOTIFY_DONE);
}

TEST_F(ChainStop, AStopperThatTheRecordNamesAlreadyIsKept) {
    RecordingWatcher a("a", log, 1, NOTIFY_STOP), observer("observer", log, INT_MIN);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(observer), 0);
    task_watch of_a_veto{};
    of_a_veto.stopped_by = "limit";
    EXPECT_STREQ(chain->walk(init, of_a_veto, own).stopped_by, "a");
    EXPECT_STREQ(of_a_veto.stopped_by, "limit");
}

TEST_F(ChainStop, AStopCountsOnlyFromBlocksThatAskedForTheRightTo) {
    RecordingWatcher plain("plain", log, 2, NOTIFY_BAD), asked("asked", log, 1, NOTIFY_STOP);
    RecordingWatcher last("last", log);
    ASSERT_EQ(add(plain), 0);
    ASSERT_EQ(add(asked, WATCH_MASK_ALL | WATCH_MASK_BEFORE), 0);
    ASSERT_EQ(add(last), 0);
    Walk forecast = {
        .action = WATCH_TASK_EXEC | WATCH_BEFORE, .need = WATCH_MASK_EXEC, .honour = WATCH_MASK_BEFORE};
    EXPECT_EQ(walk(forecast), "plain asked");
    EXPECT_STREQ(result.stopped_by, "asked");
    ASSERT_EQ(remove(asked), 0);
    EXPECT_EQ(walk(forecast), "plain last");
    EXPECT_FALSE(result.stopped());
}

std::string offenders;

TEST_F(ChainStop, WhoeverStopsFreeIsNamedOnceARegistrationAndTheRestAreCalled) {
    RecordingWatcher a("a", log, 3, NOTIFY_STOP), b("b", log, 2), c("c", log, 1, NOTIFY_BAD);
    RecordingWatcher observer("observer", log, INT_MIN, NOTIFY_STOP);
    for (RecordingWatcher *w : {&a, &b, &c, &observer}) ASSERT_EQ(add(*w), 0);
    Walk free_walk = {.action = WATCH_TASK_FREE, .need = WATCH_MASK_FREE, .ignore_stop = true};
    EXPECT_EQ(walk(free_walk), "a b c observer") << "without anybody to tell";
    free_walk.offender = [](const notifier_block *, const char *name) { offenders += name; };
    offenders.clear();
    EXPECT_EQ(walk(free_walk), "a b c observer");
    EXPECT_EQ(result.value, NOTIFY_BAD);
    EXPECT_FALSE(result.stopped());
    EXPECT_EQ(offenders, "ac");

    RecordingWatcher another("d", log, 0, NOTIFY_STOP);
    ASSERT_EQ(add(another), 0);
    EXPECT_EQ(walk(free_walk), "a b c d observer");
    EXPECT_EQ(offenders, "acd") << "a new snapshot forgets nothing";
    ASSERT_EQ(remove(c), 0);
    ASSERT_EQ(add(c), 0);
    walk(free_walk);
    EXPECT_EQ(offenders, "acdc") << "a new registration has not been told";
}

TEST_F(ChainMasks, OnlyBlocksThatHaveAllNeededBitsAreCalled) {
    RecordingWatcher exec("exec", log), before("before", log), both("both", log);
    ASSERT_EQ(add(exec, WATCH_MASK_EXEC), 0);
    ASSERT_EQ(add(before, WATCH_MASK_EXEC | WATCH_MASK_BEFORE), 0);
    ASSERT_EQ(add(both, WATCH_MASK_EXEC | WATCH_MASK_BEFORE | WATCH_MASK_FAILED), 0);
    EXPECT_EQ(walk({.action = WATCH_TASK_EXEC, .need = WATCH_MASK_EXEC}), "exec before both");
    EXPECT_EQ(walk({.action = WATCH_TASK_EXEC, .need = WATCH_MASK_EXEC | WATCH_MASK_BEFORE}), "before both");
    EXPECT_EQ(walk({.action = WATCH_TASK_EXEC, .need = WATCH_MASK_EXEC | WATCH_MASK_FAILED}), "both");
    EXPECT_EQ(walk({.action = WATCH_TASK_UID, .need = WATCH_MASK_UID}), "");
    EXPECT_EQ(walk({.action = WATCH_TASK_UID, .need = WATCH_MASK_UID | WATCH_MASK_BEFORE}), "");
}

TEST_F(ChainMasks, WantedIsTheUnionOfTheMasks) {
    RecordingWatcher a("a", log), b("b", log);
    ASSERT_EQ(add(a, WATCH_MASK_INIT | WATCH_MASK_FREE), 0);
    ASSERT_EQ(add(b, WATCH_MASK_FREE | WATCH_MASK_GID), 0);
    EXPECT_EQ(chain->wanted(), WATCH_MASK_INIT | WATCH_MASK_FREE | WATCH_MASK_GID);
    ASSERT_EQ(remove(a), 0);
    EXPECT_EQ(chain->wanted(), WATCH_MASK_FREE | WATCH_MASK_GID);
    ASSERT_EQ(remove(b), 0);
    EXPECT_EQ(chain->wanted(), 0u);
}

TEST_F(ChainSerials, AWalkTellsTheNewestRegistrationEvenIfItCallsNobody) {
    RecordingWatcher a("a", log), b("b", log);
    ASSERT_EQ(add(a, WATCH_MASK_FREE), 0);
    EXPECT_EQ(walk(), "");
    EXPECT_EQ(result.serial, 1u);
    ASSERT_EQ(add(b, WATCH_MASK_FREE), 0);
    walk({.action = WATCH_TASK_FREE, .need = WATCH_MASK_FREE});
    EXPECT_EQ(result.serial, 2u);
    walk({.action = 0, .need = UINT32_MAX});
    EXPECT_EQ(result.serial, 2u);
    ASSERT_EQ(remove(b), 0);
    walk();
    EXPECT_EQ(result.serial, 2u);
    ASSERT_EQ(add(b), 0);
    walk();
    EXPECT_EQ(result.serial, 3u) << "a serial is never used again";
}

TEST_F(ChainSerials, FreeGoesToTheSnapshotOfInitLessThoseUnregisteredSince) {
    RecordingWatcher a("a", log), b("b", log), c("c", log), later("later", log);
    RecordingWatcher observer("observer", log, INT_MIN);
    for (RecordingWatcher *w : {&a, &b, &c, &observer}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "a b c observer");
    Walk free_walk = {
        .action = WATCH_TASK_FREE, .need = WATCH_MASK_FREE, .ignore_stop = true, .up_to = result.serial};
    ASSERT_EQ(add(later), 0);
    ASSERT_EQ(remove(a), 0);
    ASSERT_EQ(remove(b), 0);
    ASSERT_EQ(add(b), 0);
    ASSERT_EQ(remove(observer), 0);
    ASSERT_EQ(add(observer), 0);
    EXPECT_EQ(walk(free_walk), "c");
    EXPECT_EQ(walk(), "c later b observer");
}

}  // namespace
