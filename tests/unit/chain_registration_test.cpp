// SPDX-License-Identifier: MIT
// Registration: what it refuses, what a walk under way sees of it, and that it goes on when many walks
// are under way. All in one thread; threads are in chain_threads_test.cpp.
#include <deque>

#include "recording_watcher.hpp"

using taskwatch::PinStack;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};

using ChainRegistration = WithChain;
using ChainInsideACallback = WithChain;
using ChainManyWalks = WithChain;

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

TEST_F(ChainManyWalks, MoreThanThereAreReadersAreAllMade) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    PinStack inside{.pins = {}, .depth = 1};
    walk_within_walks(*chain, a, 300, [&] {
        ASSERT_EQ(chain->remove(&b.nb, inside), 0);
        EXPECT_EQ(walk(), "a");
    });
    EXPECT_EQ(log.length(), 2u * 300 + 2u * 300 - 1) << "each of them called a and b: " << log;
    EXPECT_EQ(walk(), "a");
    EXPECT_EQ(remove(a), 0) << "returns: no pin was lost";
}

TEST_F(ChainManyWalks, UnregisteringSucceedsEvenWhenNoSnapshotIsFree) {
    RecordingWatcher a("a", log, 3), b("b", log, 2), c("c", log, 1), d("d", log);
    for (RecordingWatcher *w : {&a, &b, &c}) ASSERT_EQ(add(*w), 0);
    for (int i = 0; i < 300; ++i) {  // nothing is unused afterwards
        ASSERT_EQ(add(d), 0);
        ASSERT_EQ(remove(d), 0);
    }
    PinStack inside{.pins = {}, .depth = 1};
    walk_within_walks(*chain, a, 300, [&] {
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
    ASSERT_EQ(add(b), 0);
    EXPECT_EQ(walk(), "a b c");
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
            b.nb.priority = i % 2 ? 2 : 0;
            ASSERT_EQ(add(b), 0);
        }
        a.inside = nullptr;
    };
    EXPECT_EQ(walk(), "a b");
    EXPECT_EQ(walk(), "b a");
}

}  // namespace
