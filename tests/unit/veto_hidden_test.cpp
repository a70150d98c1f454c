// SPDX-License-Identifier: MIT
// The pids that wait wrappers hide, and the child that sets its suspended parent free.
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "sys.hpp"
#include "veto.hpp"
#include "veto_stage.hpp"

using namespace stage;
using namespace taskwatch;

namespace {

// Above any pid of this machine.
constexpr pid_t nobody = 0x7fff'0000;

pid_t held_child() {
    pid_t pid = raw_fork(SIGCHLD);
    if (pid == 0)
        for (;;) pause();
    return pid;
}

// What another thread does in a wait function, up to the point where it asks veto_hides().
void take_corpse(pid_t pid) {
    kill(pid, SIGKILL);
    ASSERT_EQ(sys::call(SYS_wait4, pid, 0, __WALL, 0), pid);
}

TEST(VetoHiddenTest, AnAnnouncedPidIsHiddenOnce) {
    EXPECT_FALSE(veto_any_hidden());
    veto_announce(nobody);
    EXPECT_TRUE(veto_any_hidden());
    EXPECT_FALSE(veto_hides(nobody + 1));
    EXPECT_TRUE(veto_hides(nobody));
    EXPECT_FALSE(veto_hides(nobody));
    EXPECT_FALSE(veto_any_hidden());
}

TEST(VetoHiddenTest, LookingConsumesNothing) {
    veto_announce(nobody);
    EXPECT_TRUE(veto_would_hide(nobody));
    EXPECT_TRUE(veto_would_hide(nobody));
    EXPECT_TRUE(veto_hides(nobody));
    EXPECT_FALSE(veto_would_hide(nobody));
}

TEST(VetoHiddenTest, APidThatIsMadeAgainIsNoLongerHidden) {
    veto_announce(nobody);
    veto_announce(nobody + 1);
    veto_forget(nobody);
    EXPECT_FALSE(veto_hides(nobody));
    EXPECT_TRUE(veto_hides(nobody + 1));
    EXPECT_FALSE(veto_any_hidden());
}

TEST(VetoHiddenTest, AReapedChildIsNotHidden) {
    pid_t c = held_child();
    veto_announce(c);
    veto_end_child(c, SIGCHLD, 0);
    EXPECT_FALSE(veto_any_hidden());
    EXPECT_EQ(waitpid(-1, nullptr, __WALL | WNOHANG), -1);
}

TEST(VetoHiddenTest, ACorpseTakenElsewhereIsHiddenUntilItsTakerAsks) {
    pid_t c = held_child();
    veto_announce(c);
    take_corpse(c);
    veto_end_child(c, SIGCHLD, 0);
    EXPECT_TRUE(veto_hides(c));
    EXPECT_FALSE(veto_any_hidden());
}

TEST(VetoHiddenTest, ATakerWhoAskedBeforeTheEndLeavesNothing) {
    pid_t c = held_child();
    veto_announce(c);
    take_corpse(c);
    EXPECT_TRUE(veto_hides(c));
    veto_end_child(c, SIGCHLD, 0);
    EXPECT_FALSE(veto_any_hidden());
}

TEST(VetoHiddenTest, ATakerWhoNeverAsksDoesNotHideThePidForEver) {
    pid_t c = held_child();
    veto_announce(c);
    take_corpse(c);
    veto_end_child(c, SIGCHLD, 0);
    timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        EXPECT_FALSE(veto_hides(nobody));
        clock_gettime(CLOCK_MONOTONIC, &now);
        sched_yield();
    } while (veto_any_hidden() && now.tv_sec - start.tv_sec < 10);
    EXPECT_LT(now.tv_sec - start.tv_sec, 10);
    EXPECT_GE(now.tv_sec - start.tv_sec, 1) << "a wrapper must have had the time to ask";
    EXPECT_FALSE(veto_hides(c));
}

TEST(VetoHiddenTest, AForkedChildHidesNothingOfItsParents) {
    veto_announce(nobody);
    uint64_t ticket = veto_before_fork();
    pid_t pid = raw_fork(SIGCHLD);
    if (pid == 0) {
        veto_after_fork_in_child(ticket);
        if (veto_any_hidden()) _exit(1);
        veto_announce(nobody + 1);
        _exit(veto_hides(nobody) || !veto_hides(nobody + 1) || veto_any_hidden());
    }
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(veto_hides(nobody));
}

TEST(VetoHiddenTest, MoreThanThereIsRoomForAreNotHiddenAndNotCounted) {
    constexpr int many = 200;
    for (int i = 0; i < many; i++) veto_announce(nobody + i);
    int hidden = 0;
    for (int i = 0; i < many; i++) hidden += veto_hides(nobody + i);
    EXPECT_GE(hidden, 32);
    EXPECT_LT(hidden, many);
    EXPECT_FALSE(veto_any_hidden());
}

TEST(VetoHiddenTest, OnesThatNobodyAsksForMakeRoom) {
    // Not children, so never reaped here: each waits for a taker.
    for (int i = 0; i < 200; i++) {
        veto_announce(nobody + i);
        veto_end_child(nobody + i, 0, 0);
    }
    veto_announce(nobody + 1000);
    EXPECT_TRUE(veto_hides(nobody + 1000));
    for (int i = 0; i < 200; i++) veto_forget(nobody + i);
    EXPECT_FALSE(veto_any_hidden());
}

// Its pid may be another's if somebody killed and reaped the child. A process with SIGKILL pending would
// not answer.
TEST(VetoHiddenTest, OnlyAChildIsKilled) {
    int question[2], answer[2];
    ASSERT_EQ(pipe(question), 0);
    ASSERT_EQ(pipe(answer), 0);
    pid_t parent = raw_fork(SIGCHLD);
    if (parent == 0) {
        if (raw_fork(SIGCHLD) != 0) {
            close(answer[1]);  // the grandchild's death is then the end of the answers
            for (;;) pause();
        }
        close(question[1]);
        close(answer[0]);
        pid_t own = getpid();
        for (char byte; write(answer[1], &own, sizeof own) > 0 && read(question[0], &byte, 1) == 1;) {
        }
        _exit(0);
    }
    close(answer[1]);
    pid_t grandchild = 0, again = 0;
    ASSERT_EQ(read(answer[0], &grandchild, sizeof grandchild), (ssize_t)sizeof grandchild);
    veto_end_child(grandchild, SIGCHLD, 0);
    EXPECT_EQ(write(question[1], "?", 1), 1);
    EXPECT_EQ(read(answer[0], &again, sizeof again), (ssize_t)sizeof again);
    EXPECT_EQ(again, grandchild);
    kill(parent, SIGKILL);
    EXPECT_EQ(waitpid(parent, nullptr, 0), parent);
    close(question[0]);
    close(question[1]);
    close(answer[0]);
}

TEST(VetoHiddenTest, ErrnoIsUntouched) {
    pid_t c = held_child();
    errno = 77;
    veto_announce(c);
    take_corpse(c);
    errno = 77;
    veto_end_child(c, SIGCHLD, 0);
    EXPECT_EQ(errno, 77);
    EXPECT_TRUE(veto_hides(c));
}

// ---- the dormant child

TEST(VetoDormantTest, TheParentResumesWhileTheChildLives) {
    for (int i = 0; i < 100; i++) {
        pid_t c = dormant_child();
        ASSERT_GT(c, 0);
        EXPECT_EQ(waitpid(c, nullptr, WNOHANG | __WALL), 0);
        EXPECT_EQ(kill(c, SIGTERM), 0) << "its signals are blocked: only SIGKILL ends it";
        EXPECT_EQ(waitpid(c, nullptr, WNOHANG | __WALL), 0);
        kill(c, SIGKILL);
        int status = 0;
        EXPECT_EQ(waitpid(c, &status, __WALL), c);
        EXPECT_EQ(status, SIGKILL);
    }
}

// With no thread to be had it ends, is announced like any child, and is hidden from the wait functions all
// the same.
TEST(VetoLimitTest, WithoutASecondThreadTheVforkChildIsAnnounced) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to become a user of whom there is one process";
    Tally tally = perform([](Stage &s) {
        constexpr uid_t lonely = 64999;
        rlimit two = {2, 2};
        set_blocked(SIGCHLD, true);
        if (setgroups(0, nullptr) || setresgid(lonely, lonely, lonely) || setresuid(lonely, lonely, lonely))
            return;
        if (setrlimit(RLIMIT_NPROC, &two)) return;
        pid_t c = dormant_child();
        s.tally.rounds = c > 0;
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        timespec limit = {2, 0};
        siginfo_t info = {};
        s.tally.announced =
            sigtimedwait(&set, &info, &limit) == SIGCHLD && info.si_pid == c && info.si_status == 127;
        sys::SignalMask mask = sys::set_signal_mask(sys::all_signals);
        end_by_veto(c, SIGCHLD, mask);
        s.tally.returned = waitpid(-1, nullptr, __WALL | WNOHANG) != -1;
    });
    EXPECT_EQ(tally.rounds, 1);
    EXPECT_EQ(tally.announced, 1);
    EXPECT_EQ(tally.returned, 0);
}

}  // namespace
