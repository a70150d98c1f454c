// SPDX-License-Identifier: MIT
// The chain in one thread: who is called, in which order, with which result, and what registration
// refuses. Forks, signals and vfork children are in chain_fork_test.cpp, threads in chain_threads_test.cpp.
#include <climits>
#include <deque>
#include <vector>

#include "recording_watcher.hpp"

using taskwatch::Chain;
using taskwatch::PinStack;
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
using ChainRegistration = WithChain;
using ChainInsideACallback = WithChain;
using ChainManyWalks = WithChain;

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
    RecordingWatcher low("low", log, -5), high("high", log, 100), middle("middle", log), top("top", log, INT_MAX);
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
    for (int stops : {int(NOTIFY_STOP_MASK), int(NOTIFY_STOP), notifier_from_errno(-ENOMEM), -EACCES, -4095, -1}) {
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
    RecordingWatcher plain("plain", log, 2, NOTIFY_BAD), asked("asked", log, 1, NOTIFY_STOP), last("last", log);
    ASSERT_EQ(add(plain), 0);
    ASSERT_EQ(add(asked, WATCH_MASK_ALL | WATCH_MASK_BEFORE), 0);
    ASSERT_EQ(add(last), 0);
    Walk forecast = {.action = WATCH_TASK_EXEC | WATCH_BEFORE, .need = WATCH_MASK_EXEC, .honour = WATCH_MASK_BEFORE};
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
    RecordingWatcher a("a", log), b("b", log), c("c", log), later("later", log), observer("observer", log, INT_MIN);
    for (RecordingWatcher *w : {&a, &b, &c, &observer}) ASSERT_EQ(add(*w), 0);
    EXPECT_EQ(walk(), "a b c observer");
    Walk free_walk = {.action = WATCH_TASK_FREE, .need = WATCH_MASK_FREE, .ignore_stop = true, .up_to = result.serial};
    ASSERT_EQ(add(later), 0);
    ASSERT_EQ(remove(a), 0);
    ASSERT_EQ(remove(b), 0);
    ASSERT_EQ(add(b), 0);
    ASSERT_EQ(remove(observer), 0);
    ASSERT_EQ(add(observer), 0);
    EXPECT_EQ(walk(free_walk), "c");
    EXPECT_EQ(walk(), "c later b observer");
}

TEST_F(ChainRegistration, RefusalsSayWhy) {
    RecordingWatcher a("a", log), without("without", log);
    without.nb.notifier_call = nullptr;
    EXPECT_EQ(chain->add(nullptr, WATCH_MASK_ALL, "x"), EINVAL);
    EXPECT_EQ(add(without), EINVAL);
    EXPECT_EQ(add(a, 0), EINVAL);
    EXPECT_EQ(add(a, WATCH_MASK_BEFORE), EINVAL) << "no event";
    EXPECT_EQ(add(a, WATCH_MASK_ALL | 0x400), EINVAL);
    EXPECT_EQ(add(a, 0x80), EINVAL);
    EXPECT_EQ(chain->remove(nullptr, own), EINVAL);
    EXPECT_EQ(remove(a), ENOENT);
    EXPECT_EQ(add(a), 0);
    EXPECT_EQ(add(a, WATCH_MASK_EXEC), EEXIST);
    EXPECT_EQ(walk(), "a");
    EXPECT_EQ(remove(a), 0);
    EXPECT_EQ(remove(a), ENOENT);
    EXPECT_EQ(walk(), "");
}

TEST_F(ChainRegistration, TheSixtyFifthBlockFindsNoSpace) {
    std::deque<RecordingWatcher> watchers;
    std::string all;
    for (int i = 0; i < WATCH_CHAIN_CAPACITY + 1; ++i) watchers.emplace_back(std::to_string(i), log);
    for (int i = 0; i < WATCH_CHAIN_CAPACITY; ++i) {
        ASSERT_EQ(add(watchers[i]), 0) << i;
        all += (i ? " " : "") + watchers[i].name;
    }
    EXPECT_EQ(add(watchers.back()), ENOSPC);
    EXPECT_EQ(add(watchers.front()), EEXIST);
    EXPECT_EQ(walk(), all);
    ASSERT_EQ(remove(watchers[0]), 0);
    EXPECT_EQ(add(watchers.back()), 0);
    EXPECT_EQ(walk(), all.substr(2) + " 64");
}

TEST_F(ChainRegistration, NamesAreFoundByBlock) {
    RecordingWatcher a("a", log), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(chain->add(&b.nb, WATCH_MASK_ALL, nullptr), 0);
    EXPECT_STREQ(chain->name_of(&a.nb, own), "a");
    EXPECT_STREQ(chain->name_of(&b.nb, own), "(unnamed)");
    ASSERT_EQ(remove(a), 0);
    EXPECT_EQ(chain->name_of(&a.nb, own), nullptr);
    EXPECT_EQ(own.depth, 0);
}

TEST_F(ChainRegistration, GoesOnForEver) {
    RecordingWatcher a("a", log), b("b", log);
    ASSERT_EQ(add(a), 0);
    for (int i = 0; i < 2000; ++i) {
        ASSERT_EQ(add(b), 0);
        ASSERT_EQ(walk(), "a b");
        ASSERT_EQ(remove(b), 0);
        ASSERT_EQ(walk(), "a");
    }
    EXPECT_EQ(result.serial, 2001u);
}

TEST_F(ChainInsideACallback, ABlockRegisteredThereIsForLaterWalks) {
    RecordingWatcher a("a", log, 1), after("after", log), before("before", log, 2);
    a.inside = [&](auto...) {
        ASSERT_EQ(add(before), 0);
        ASSERT_EQ(add(after), 0);
        a.inside = nullptr;
    };
    ASSERT_EQ(add(a), 0);
    EXPECT_EQ(walk(), "a") << "the walk is of the snapshot it began with";
    EXPECT_EQ(walk(), "before a after");
}

TEST_F(ChainInsideACallback, UnregisteringIsForLaterWalksAndDoesNotWait) {
    RecordingWatcher first("first", log, 9), a("a", log, 8), next("next", log, 7), last("last", log, 6);
    for (RecordingWatcher *w : {&first, &a, &next, &last}) ASSERT_EQ(add(*w), 0);
    a.inside = [&](auto...) {
        for (RecordingWatcher *w : {&a, &first, &next}) EXPECT_EQ(remove(*w), 0);
        EXPECT_EQ(remove(next), ENOENT);
        EXPECT_EQ(chain->name_of(&next.nb, own), nullptr);
    };
    EXPECT_EQ(walk(), "first a next last");
    EXPECT_EQ(walk(), "last");
    EXPECT_EQ(own.depth, 0);
}

TEST_F(ChainInsideACallback, ABlockThatLeavesAndComesBackIsSeenOnce) {
    RecordingWatcher a("a", log, 2), moved("moved", log, 3);
    a.inside = [&](auto...) {
        ASSERT_EQ(remove(moved), 0);
        moved.nb.priority = 1;
        ASSERT_EQ(add(moved), 0);
        a.inside = nullptr;
    };
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(moved), 0);
    EXPECT_EQ(walk(), "moved a");
    EXPECT_EQ(walk(), "a moved");
}

TEST_F(ChainInsideACallback, AWalkUnderWayKeepsItsSnapshotWhateverIsRegisteredMeanwhile) {
    std::deque<RecordingWatcher> watchers;
    for (int i = 0; i < 60; ++i) watchers.emplace_back(std::to_string(i), log, -i);
    RecordingWatcher first("first", log, 1);
    std::string all = "first";
    ASSERT_EQ(add(first), 0);
    for (RecordingWatcher &w : watchers) {
        ASSERT_EQ(add(w), 0);
        all += " " + w.name;
    }
    first.inside = [&](auto...) {  // more registrations than there are places for them at once
        for (int round = 0; round < 20; ++round)
            for (RecordingWatcher &w : watchers) {
                ASSERT_EQ(remove(w), 0);
                ASSERT_EQ(add(w), 0);
            }
    };
    EXPECT_EQ(walk(), all);
}

TEST_F(ChainInsideACallback, WalksNestDeeperThanThePinStack) {
    RecordingWatcher a("a", log), b("b", log, INT_MIN);
    int depth = 0;
    a.inside = [&](unsigned long, task_watch &of) {
        if (++depth < 300) chain->walk(init, of, own);
    };
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    walk();
    EXPECT_EQ(depth, 300);
    EXPECT_EQ(own.depth, 0);
    EXPECT_EQ(remove(b), 0) << "returns: no pin was lost";
    EXPECT_EQ(remove(a), 0);
}

// Pin stacks stand for threads here: walks one inside the other, each with a stack of its own.
class ManyWalks {
  public:
    ManyWalks(Chain &chain, RecordingWatcher &watcher, int count, std::function<void()> innermost) : stacks_(count) {
        size_t begun = 0;
        watcher.inside = [&, innermost](unsigned long, task_watch &of) {
            if (begun < stacks_.size())
                chain.walk(init, of, stacks_[begun++]);
            else
                innermost();
        };
        task_watch task{};
        chain.walk(init, task, stacks_[begun++]);
        watcher.inside = nullptr;
    }

  private:
    std::vector<PinStack> stacks_;
};

TEST_F(ChainManyWalks, MoreThanThereAreReadersAreAllMade) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    PinStack inside{.pins = {}, .depth = 1};
    ManyWalks(*chain, a, 300, [&] {
        ASSERT_EQ(chain->remove(&b.nb, inside), 0);
        EXPECT_EQ(walk(), "a");
    });
    EXPECT_EQ(log.length(), 2u * 300 + 2u * 300 - 1) << "each of them called a and b";
    EXPECT_EQ(walk(), "a");
    EXPECT_EQ(remove(a), 0) << "returns: no pin was lost";
}

TEST_F(ChainManyWalks, UnregisteringSucceedsEvenWhenNoSnapshotIsFree) {
    RecordingWatcher a("a", log, 3), b("b", log, 2), c("c", log, 1), d("d", log);
    for (RecordingWatcher *w : {&a, &b, &c}) ASSERT_EQ(add(*w), 0);
    for (int i = 0; i < 200; ++i) {  // no snapshot is unused afterwards
        ASSERT_EQ(add(d), 0);
        ASSERT_EQ(remove(d), 0);
    }
    PinStack inside{.pins = {}, .depth = 1};
    ManyWalks(*chain, a, 300, [&] {
        EXPECT_EQ(add(d), ENOMEM);
        EXPECT_EQ(chain->remove(&b.nb, inside), 0);
        EXPECT_EQ(chain->remove(&b.nb, inside), ENOENT);
        EXPECT_EQ(chain->name_of(&b.nb, inside), nullptr);
        EXPECT_EQ(walk(), "a c");
    });
    EXPECT_EQ(walk(), "a c");
    ASSERT_EQ(add(b), 0);
    EXPECT_EQ(walk(), "a b c");
    ASSERT_EQ(remove(b), 0);
    EXPECT_EQ(walk(), "a c");
}

TEST_F(ChainManyWalks, AReaderTakesNothingThatAnotherHolds) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    // A stack that names a reader which is somebody else's, as one does that was killed before it had
    // claimed it: cutting it leaves the other's pin alone.
    a.inside = [&](auto...) {
        PinStack killed = own;
        chain->release_down_to(killed, 0);
        EXPECT_EQ(killed.depth, 0);
        for (int i = 0; i < 300; ++i) {
            ASSERT_EQ(chain->remove(&b.nb, own), 0);
            b.nb.priority = i % 2 ? 0 : 2;
            ASSERT_EQ(add(b), 0);
        }
        a.inside = nullptr;
    };
    EXPECT_EQ(walk(), "a b");
    EXPECT_EQ(walk(), "a b");
}

}  // namespace
