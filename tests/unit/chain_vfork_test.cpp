// SPDX-License-Identifier: MIT
// Walks that never return: vfork children that are killed inside one, on their parent's memory, and jumps out
// of a callback. The genuine vfork, no preload. A hang is a failure: each test ends by SIGALRM then.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>

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

#if defined(__x86_64__)

// A walk of a vfork child, between two traps for the one who steps it through.
[[gnu::noinline]] pid_t stepped_walk(Chain &chain, PinStack &own) {
    pid_t child = vfork();
    if (child == 0) {
        task_watch record{};
        asm volatile("int3");
        chain.walk(init, record, own);
        asm volatile("int3");
        _exit(0);
    }
    return child;
}

// The traced process: one vfork child after the other, until one lives to the end of its walk. Its exit
// status says what was wrong.
[[noreturn]] void let_vfork_children_be_killed(Chain &chain) {
    static PinStack own{};
    static notifier_block watcher = {[](notifier_block *, unsigned long, void *) { return int(NOTIFY_OK); },
                                     nullptr, 0};
    alarm(60);
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    task_watch record{};
    chain.walk(init, record, own);  // what is done the first time only is done
    for (;;) {
        if (chain.add(&watcher, WATCH_MASK_ALL, "watcher") != 0) _exit(3);
        pid_t child = stepped_walk(chain, own);
        chain.release_down_to(own, 0);
        if (own.depth != 0) _exit(4);
        if (chain.remove(&watcher, own) != 0) _exit(5);
        int status = 0;
        if (waitpid(child, &status, 0) != child) _exit(6);
        if (WIFEXITED(status)) _exit(0);
    }
}

// Continues `tracee` until it stops with SIGTRAP or ends; returns that wait status.
int run_to_trap(pid_t tracee, __ptrace_request how) {
    for (int signal = 0;;) {
        ptrace(how, tracee, nullptr, signal);
        int status = 0;
        if (waitpid(tracee, &status, __WALL) != tracee) return -1;
        if (!WIFSTOPPED(status) || WSTOPSIG(status) == SIGTRAP) return status;
        signal = WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status);
    }
}

bool stands_at_a_trap(pid_t tracee) {
    long rip = ptrace(PTRACE_PEEKUSER, tracee, offsetof(user, regs.rip), nullptr);
    return (ptrace(PTRACE_PEEKTEXT, tracee, rip, nullptr) & 0xff) == 0xcc;
}

TEST_F(ChainVfork, AChildMayBeKilledAfterAnyInstructionOfAWalk) {
    pid_t parent = fork();
    if (parent == 0) let_vfork_children_be_killed(*chain);
    int status = 0;
    ASSERT_EQ(waitpid(parent, &status, 0), parent);
    if (ptrace(PTRACE_SETOPTIONS, parent, nullptr, PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL) != 0) {
        kill(parent, SIGKILL);
        waitpid(parent, &status, 0);
        ASSERT_EQ(getenv("TASKWATCH_TESTS_MUST_RUN"), nullptr);
        GTEST_SKIP() << "ptrace is not allowed here";
    }
    unsigned steps = 0;
    for (bool whole_walk = false;; ++steps) {
        status = run_to_trap(parent, PTRACE_CONT);
        if (!WIFSTOPPED(status)) break;
        ASSERT_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_VFORK << 8);
        ASSERT_FALSE(whole_walk);
        unsigned long child = 0;
        ASSERT_EQ(ptrace(PTRACE_GETEVENTMSG, parent, nullptr, &child), 0);
        ptrace(PTRACE_CONT, parent, nullptr, nullptr);  // the kernel keeps it waiting for the child
        ASSERT_EQ(waitpid(pid_t(child), &status, __WALL), pid_t(child));
        ASSERT_TRUE(WIFSTOPPED(run_to_trap(pid_t(child), PTRACE_CONT)));
        for (unsigned i = 0; i < steps && !whole_walk; ++i) {
            ASSERT_TRUE(WIFSTOPPED(run_to_trap(pid_t(child), PTRACE_SINGLESTEP)));
            // Each walk is one step longer than the last one, but for a few: no look where the end cannot be.
            whole_walk = i + 32 > steps && stands_at_a_trap(pid_t(child));
        }
        if (whole_walk) {
            ASSERT_TRUE(WIFSTOPPED(run_to_trap(pid_t(child), PTRACE_CONT)));
            EXPECT_TRUE(WIFEXITED(run_to_trap(pid_t(child), PTRACE_CONT)));
        } else {
            kill(pid_t(child), SIGKILL);
            ASSERT_EQ(waitpid(pid_t(child), &status, __WALL), pid_t(child));
        }
    }
    EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status) << " after " << steps << " instructions";
    EXPECT_EQ(WEXITSTATUS(status), 0) << "after " << steps << " instructions";
    EXPECT_GT(steps, 40u) << "it was a walk";
    RecordProperty("instructions", int(steps));
}

#endif

}  // namespace
