// SPDX-License-Identifier: MIT
// Walks that never return: vfork children that are killed inside one, on their parent's memory, and jumps out
// of a callback. The genuine vfork, no preload. A hang is a failure: each test ends by SIGALRM then.
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recording_watcher.hpp"

using taskwatch::Chain;
using taskwatch::PinStack;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};

class ChainVfork : public WithChain {
  protected:
    void SetUp() override { alarm(60); }
    void TearDown() override { alarm(0); }
};

// A vfork child that makes a walk and does not come back from a callback.
[[gnu::noinline]] void killed_in_a_walk(Chain &chain, PinStack &own) {
    pid_t child = vfork();
    if (child == 0) {
        task_watch record{};
        chain.walk(init, record, own);
        _exit(1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
}

int kill_this_process(notifier_block *, unsigned long, void *) { return kill(getpid(), SIGKILL); }

TEST_F(ChainVfork, WhatAKilledVforkChildHadPinnedIsReleasedByItsParent) {
    notifier_block killer = {kill_this_process, nullptr, 0};
    ASSERT_EQ(chain->add(&killer, WATCH_MASK_ALL, "killer"), 0);
    for (int round = 0; round < 200; ++round) {  // more than there are readers
        killed_in_a_walk(*chain, own);
        ASSERT_EQ(own.depth, 1);
        chain->release_down_to(own, 0);
        ASSERT_EQ(own.depth, 0);
    }
    EXPECT_EQ(chain->remove(&killer, own), 0) << "returns";
}

TEST_F(ChainVfork, TheWalkThatAKilledVforkChildWasMadeInGoesOn) {
    notifier_block killer = {kill_this_process, nullptr, 5};
    RecordingWatcher a("a", log, 9), b("b", log, 8), c("c", log, 7);
    for (RecordingWatcher *w : {&a, &b, &c}) ASSERT_EQ(add(*w, WATCH_MASK_CLONE), 0);
    ASSERT_EQ(chain->add(&killer, WATCH_MASK_INIT, "killer"), 0);
    a.inside = [&](auto...) {
        unsigned depth = own.depth;
        for (int i = 0; i < 12; ++i) killed_in_a_walk(*chain, own);  // deeper than the pin stack
        EXPECT_EQ(own.depth, depth + 12);
        chain->release_down_to(own, depth);
        EXPECT_EQ(own.depth, depth);
        for (int i = 0; i < 300; ++i) {
            ASSERT_EQ(remove(b), 0);
            b.nb.priority = i % 10;
            ASSERT_EQ(add(b, WATCH_MASK_CLONE), 0);
        }
    };
    EXPECT_EQ(walk({.action = WATCH_TASK_CLONE, .need = WATCH_MASK_CLONE}), "a b c");
    EXPECT_EQ(remove(b), 0);
    EXPECT_EQ(chain->remove(&killer, own), 0);
}

TEST_F(ChainVfork, PinsThatSomebodyCutAreNotReleasedTwice) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    a.inside = [&](auto...) { chain->release_down_to(own, 0); };
    EXPECT_EQ(walk(), "a b");
    EXPECT_EQ(own.depth, 0);
    EXPECT_EQ(remove(b), 0);
    EXPECT_EQ(walk(), "a");
}

jmp_buf out_of_an_inner_walk;

int jump_out(notifier_block *, unsigned long, void *) { longjmp(out_of_an_inner_walk, 1); }

TEST_F(ChainVfork, AWalkThatIsLeftByAJumpIsReleasedByTheOneAroundIt) {
    RecordingWatcher a("a", log, 1);
    notifier_block jumper = {jump_out, nullptr, 0};
    ASSERT_EQ(add(a, WATCH_MASK_CLONE), 0);
    ASSERT_EQ(chain->add(&jumper, WATCH_MASK_INIT, "jumper"), 0);
    a.inside = [&](unsigned long, task_watch &of) {
        if (setjmp(out_of_an_inner_walk) == 0) chain->walk(init, of, own);
        EXPECT_EQ(own.depth, 2);
    };
    walk({.action = WATCH_TASK_CLONE, .need = WATCH_MASK_CLONE});
    EXPECT_EQ(own.depth, 0);
    EXPECT_EQ(chain->remove(&jumper, own), 0);
}

}  // namespace
