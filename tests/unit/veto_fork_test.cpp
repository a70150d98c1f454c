// SPDX-License-Identifier: MIT
// While one thread ends a held child, SIGCHLD's action is not the program's. What that means for the other
// threads: those that fork, those that veto as well, and those that look.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <semaphore>

#include "signal_action.hpp"
#include "sys.hpp"
#include "veto.hpp"
#include "veto_stage.hpp"

using namespace stage;
using namespace taskwatch;

namespace {

constexpr int forks = 300;

std::atomic<int> handler_runs;
std::atomic<bool> other_is_done;
SignalAction program;

void install_handler() {
    struct sigaction action = {};
    action.sa_handler = [](int) { handler_runs++; };
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    sigaction(SIGCHLD, &action, nullptr);
    program = SignalAction::of(SIGCHLD);
}

bool has_programs_action() { return SignalAction::of(SIGCHLD) == program; }

// One whole veto, as a wrapped fork would do it.
void veto_once() {
    sys::SignalMask mask = sys::set_signal_mask(sys::all_signals);
    pid_t c = raw_fork(SIGCHLD);
    if (c == 0)
        for (;;) pause();
    end_by_veto(c, SIGCHLD, mask);
    sys::set_signal_mask(mask);
}

void veto_until_other_is_done(Stage &s) {
    while (!other_is_done) {
        veto_once();
        s.tally.rounds++;
        s.tally.action_changed += !has_programs_action();
    }
    s.tally.hidden_for_ever += veto_any_hidden();
}

// `child` runs in a child that was forked at some moment of the other thread's vetoes; returns its faults.
std::atomic<int> faults_of_children;
template <int (*child)(uint64_t ticket)>
void fork_all_the_time() {
    for (int i = 0; i < forks; i++) {
        uint64_t ticket = veto_before_fork();
        pid_t pid = raw_fork(SIGCHLD);
        if (pid == 0) _exit(child(ticket));
        int status = -1;
        waitpid(pid, &status, 0);
        faults_of_children += status != 0;
    }
    other_is_done = true;
}

template <int (*child)(uint64_t ticket)>
void forks_meanwhile(Stage &s) {
    install_handler();
    start_thread(0, fork_all_the_time<child>);
    veto_until_other_is_done(s);
    s.tally.lost = faults_of_children;
}

int looks_at_its_action(uint64_t ticket) {
    veto_after_fork_in_child(ticket);
    return !has_programs_action();
}

int looks_without_repair(uint64_t) { return !has_programs_action(); }

int vetoes_itself(uint64_t ticket) {
    veto_after_fork_in_child(ticket);
    if (veto_any_hidden()) return 1;
    handler_runs = 0;
    veto_once();
    return handler_runs != 0 || veto_any_hidden() || !has_programs_action();
}

TEST(VetoForkTest, AChildForkedMeanwhileHasTheProgramsAction) {
    Tally tally = perform(forks_meanwhile<looks_at_its_action>);
    EXPECT_EQ(tally.lost, 0);
    EXPECT_EQ(tally.action_changed, 0);
    EXPECT_EQ(tally.hidden_for_ever, 0);
    EXPECT_GT(tally.rounds, 0);
}

TEST(VetoForkTest, AChildForkedMeanwhileCanVetoItself) {
    EXPECT_EQ(perform(forks_meanwhile<vetoes_itself>).lost, 0);
}

TEST(VetoForkTwinTest, WithoutRepairItHasNot) {
    EXPECT_GT(perform(forks_meanwhile<looks_without_repair>).lost, 0);
}

// What the repair remembers of a window is not put in place of what the program has set since.
TEST(VetoForkTest, AnActionSetAfterAVetoStaysInAForkedChild) {
    Tally tally = perform([](Stage &s) {
        install_handler();
        SignalAction self_reaping = program;
        self_reaping.flags |= SA_NOCLDWAIT;
        self_reaping.install(SIGCHLD);
        veto_once();
        program.install(SIGCHLD);
        uint64_t ticket = veto_before_fork();
        veto_announce(1);  // something has changed, so the child has to look
        pid_t pid = raw_fork(SIGCHLD);
        if (pid == 0) _exit(looks_at_its_action(ticket));
        int status = -1;
        waitpid(pid, &status, 0);
        s.tally.rounds = 1;
        s.tally.lost = status != 0;
    });
    EXPECT_EQ(tally.rounds, 1);
    EXPECT_EQ(tally.lost, 0);
}

// ---- children on the parent's memory

struct VforkChild {
    uint64_t ticket;
    bool repair;
};

int in_vfork_child(void *argument) {
    VforkChild &child = *(VforkChild *)argument;
    if (child.repair) veto_after_vfork_in_child(child.ticket);
    return !has_programs_action();
}

template <bool repair>
void vfork_all_the_time() {
    alignas(16) static char stack[16384];
    for (int i = 0; i < forks; i++) {
        VforkChild child = {veto_before_fork(), repair};
        pid_t pid = clone(in_vfork_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
        int status = -1;
        waitpid(pid, &status, 0);
        faults_of_children += status != 0;
    }
    other_is_done = true;
}

template <bool repair>
void vforks_meanwhile(Stage &s) {
    install_handler();
    start_thread(0, vfork_all_the_time<repair>);
    veto_until_other_is_done(s);
    s.tally.lost = faults_of_children;
}

TEST(VetoForkTest, AVforkChildHasTheProgramsActionAndLeavesTheVetoAlone) {
    Tally tally = perform(vforks_meanwhile<true>);
    EXPECT_EQ(tally.lost, 0);
    EXPECT_EQ(tally.action_changed, 0);
    EXPECT_EQ(tally.hidden_for_ever, 0);
}

TEST(VetoForkTwinTest, WithoutRepairAVforkChildHasNot) {
    EXPECT_GT(perform(vforks_meanwhile<false>).lost, 0);
}

// ---- two at a time

TEST(VetoForkTest, TwoThreadsVetoAtTheSameTime) {
    Tally tally = perform([](Stage &s) {
        install_handler();
        start_thread(0, [] {
            for (int i = 0; i < forks; i++) veto_once();
            other_is_done = true;
        });
        veto_until_other_is_done(s);
        s.tally.announced = handler_runs;  // there are no other children
        s.tally.action_changed =
            !has_programs_action();  // while both were at it, each saw the other's window
    });
    EXPECT_EQ(tally.announced, 0);
    EXPECT_EQ(tally.action_changed, 0);
    EXPECT_EQ(tally.hidden_for_ever, 0);
}

// ---- something that another thread does inside the window, as soon as it sees it

std::binary_semaphore veto_begins{0}, other_is_through{0};
std::atomic<bool> veto_is_over;
bool was_done;

void do_inside_the_window(const std::function<void()> &something) {
    for (;;) {
        veto_begins.acquire();
        while (!was_done && !veto_is_over) {
            if (has_programs_action()) continue;
            something();
            was_done = true;
        }
        other_is_through.release();
    }
}

// True if the other thread saw the window.
bool veto_while_other_does_it() {
    was_done = veto_is_over = false;
    veto_begins.release();
    veto_once();
    veto_is_over = true;
    other_is_through.acquire();
    return was_done;
}

Tally set_meanwhile(bool to_default) {
    return perform([to_default](Stage &s) {
        install_handler();
        SignalAction other = program;
        other.flags |= SA_NODEFER;
        if (to_default) other = {SignalAction::handler_default, SA_NOCLDSTOP, 0, 0};
        start_thread(0, [other] { do_inside_the_window([&other] { other.install(SIGCHLD); }); });
        while (s.tally.meanwhile < 50 && s.tally.rounds++ < 5000) {
            if (!veto_while_other_does_it()) continue;
            s.tally.meanwhile++;
            s.tally.action_changed += !(SignalAction::of(SIGCHLD) == other);
            program.install(SIGCHLD);
        }
    });
}

TEST(VetoForkTest, AnActionThatAnotherThreadSetsMeanwhileStays) {
    Tally tally = set_meanwhile(false);
    EXPECT_GT(tally.meanwhile, 10);
    EXPECT_EQ(tally.action_changed, 0);
}

TEST(VetoForkTest, TheDefaultActionThatAnotherThreadSetsMeanwhileStays) {
    Tally tally = set_meanwhile(true);
    EXPECT_GT(tally.meanwhile, 10);
    EXPECT_EQ(tally.action_changed, 0);
}

// ---- what is left

TEST(VetoLimitTest, AThreadThatLooksMeanwhileSeesAnotherAction) {
    Tally tally = perform([](Stage &s) {
        install_handler();
        static std::atomic<int> seen;
        start_thread(0, [] {
            while (!seen) seen += !has_programs_action();
            other_is_done = true;
        });
        veto_until_other_is_done(s);
        s.tally.action_changed = seen;
    });
    EXPECT_GT(tally.action_changed, 0);
}

// SIGCHLD from kill() has no child behind it, so nothing tells us to send it again.
TEST(VetoLimitTest, ASigchldThatIsSentByHandMeanwhileIsLost) {
    Tally tally = perform([](Stage &s) {
        install_handler();
        start_thread(0, [] { do_inside_the_window([] { kill(getpid(), SIGCHLD); }); });
        while (s.tally.lost == 0 && s.tally.rounds++ < 5000) {
            handler_runs = 0;
            if (veto_while_other_does_it()) s.tally.lost += handler_runs == 0;
        }
    });
    EXPECT_GT(tally.lost, 0);
}

}  // namespace
