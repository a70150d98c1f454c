// SPDX-License-Identifier: MIT
// A vetoed child ends unseen, whatever the program does with SIGCHLD, and no other child's death is lost.
// Each play has 300 rounds; the twins show that the stage would have noticed.
#include "veto.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <semaphore>

#include "sys.hpp"
#include "veto_stage.hpp"

using namespace stage;
using namespace taskwatch;

namespace {

constexpr int rounds = 300;
constexpr sys::SignalMask open_to_sigchld = sys::signal_bit(SIGCHLD);

void expect_clean(const Tally &tally) {
    Tally clean;
    clean.rounds = tally.rounds;
    clean.meanwhile = tally.meanwhile;
    EXPECT_EQ(tally, clean);
    EXPECT_GT(tally.meanwhile, 0) << "D never died in the window: the play shows nothing";
    if (getenv("VETO_TEST_VERBOSE")) std::cout << tally << '\n';
}

void sleep_for_ever() {
    for (;;) pause();
}

void work_for_ever() {
    for (std::atomic<unsigned> n = 0;; n++) {
    }
}

// ---- one program after the other

void with_handler(Stage &s) {
    s.handle(0);
    s.rounds(rounds);
}

void with_handler_and_self_reaping(Stage &s) {
    s.handle(SA_NOCLDWAIT);
    s.d_reaps_itself = true;
    s.rounds(rounds);
}

void with_handler_for_deaths_only(Stage &s) {
    s.handle(SA_NOCLDSTOP);
    s.rounds(rounds);
}

void with_sigchld_ignored(Stage &s) {
    signal(SIGCHLD, SIG_IGN);
    s.d_reaps_itself = true;
    s.expects_notice = false;
    s.rounds(rounds);
}

void with_default_action(Stage &s) {
    s.expects_notice = false;
    s.rounds(rounds);
}

void with_signalfd(Stage &s) {
    set_blocked(SIGCHLD, true);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    s.listen = [fd](Notice &notice, int timeout) {
        pollfd ready = {fd, POLLIN, 0};
        signalfd_siginfo info;
        if (poll(&ready, 1, timeout) != 1 || read(fd, &info, sizeof info) != sizeof info) return false;
        notice = {(pid_t)info.ssi_pid, info.ssi_code};
        return true;
    };
    s.rounds(rounds);
}

void wait_for_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (siginfo_t info;;)
        if (sigwaitinfo(&set, &info) == SIGCHLD) Stage::heard(info);
}

void with_sigwait_elsewhere(Stage &s) {
    s.handle(0);
    set_blocked(SIGCHLD, true);
    start_thread(0, wait_for_signals);
    s.rounds(rounds);
}

void with_sigwait_elsewhere_and_default_action(Stage &s) {
    set_blocked(SIGCHLD, true);
    start_thread(0, wait_for_signals);
    s.rounds(rounds);
}

// waitpid() as the shim has it, and as it would be without.
pid_t filtered_waitpid(pid_t pid, int *status) {
    for (;;) {
        pid_t result = waitpid(pid, status, 0);
        if (result <= 0 || !veto_hides(result)) return result;
    }
}
pid_t plain_waitpid(pid_t pid, int *status) { return waitpid(pid, status, 0); }

// The other thread takes every corpse there is; a child that lives for ever keeps it waiting.
template <pid_t (*wait_function)(pid_t, int *), bool notices = false>
void with_waitpid_elsewhere(Stage &s) {
    struct Corpse {
        pid_t pid;
        int status;
    };
    static int corpses[2];
    ASSERT_EQ(pipe(corpses), 0);
    pid_t anchor = raw_fork(SIGCHLD);
    if (anchor == 0) sleep_for_ever();
    s.handle(0);
    // A D that is reaped there in the window is announced to nobody, which is residue; that it was
    // reaped is how this program learns of it.
    s.expects_notice = notices;
    start_thread(0, [] {
        for (;;) {
            Corpse corpse = {};
            corpse.pid = wait_function(-1, &corpse.status);
            if (write(corpses[1], &corpse, sizeof corpse) < 0) _exit(1);
        }
    });
    s.fetch = [&s](pid_t d, int &status) {
        Corpse corpse;
        while (read(corpses[0], &corpse, sizeof corpse) == sizeof corpse && corpse.pid != d)
            s.tally.returned++;
        status = corpse.status;
        return corpse.pid;
    };
    s.rounds(rounds);
    kill(anchor, SIGKILL);
}

// Returns what the other thread was given although every child reaps itself.
void with_self_reaping_and_waitpid_elsewhere(Stage &s) {
    static std::atomic<int> given;
    pid_t anchor = raw_fork(SIGCHLD);
    if (anchor == 0) sleep_for_ever();
    s.handle(SA_NOCLDWAIT);
    s.expects_notice = false;
    s.d_reaps_itself = true;
    start_thread(0, [] {
        for (int status;;) given += filtered_waitpid(-1, &status) > 0;
    });
    s.fetch = [](pid_t d, int &) { return given > 0 ? d : -1; };
    s.rounds(rounds);
    kill(anchor, SIGKILL);
}

// ---- vetoes inside handlers

Stage *in_handler;

void inside_another_handler(Stage &s) {
    in_handler = &s;
    s.handle(0);
    signal(SIGUSR1, [](int) { in_handler->act(); });
    while (s.goes_on(rounds)) {
        raise(SIGUSR1);
        s.follow();
    }
    s.curtain();
}

// The handler is entered for E, which stays a zombie meanwhile; D is its younger sibling.
volatile pid_t e;
void inside_the_sigchld_handler(Stage &s) {
    in_handler = &s;
    struct sigaction action = {};
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    action.sa_sigaction = [](int, siginfo_t *info, void *) {
        if (info->si_pid == e)
            in_handler->act();
        else
            Stage::heard(*info);
    };
    sigaction(SIGCHLD, &action, nullptr);
    while (s.goes_on(rounds)) {
        int acts = s.tally.rounds;
        set_blocked(SIGCHLD, true);
        pid_t pid = raw_fork(SIGCHLD);
        if (pid == 0) _exit(0);
        e = pid;
        sigset_t none;
        sigemptyset(&none);
        while (s.tally.rounds == acts) sigsuspend(&none);
        e = 0;
        set_blocked(SIGCHLD, false);
        s.follow();
        waitpid(pid, nullptr, 0);
    }
    s.curtain();
}

// ---- more threads

void with_a_sleeper(Stage &s) {
    s.handle(0);
    start_thread(open_to_sigchld, sleep_for_ever);
    s.rounds(rounds);
}

void with_a_busy_thread(Stage &s) {
    s.handle(0);
    start_thread(open_to_sigchld, work_for_ever);
    s.rounds(rounds);
}

void open_only_elsewhere(Stage &s) {
    s.handle(0);
    set_blocked(SIGCHLD, true);
    start_thread(open_to_sigchld, sleep_for_ever);
    s.rounds(rounds);
}

// ---- a zombie that the program has not fetched yet stands before D

template <void (*play)(Stage &)>
void behind_an_old_zombie(Stage &s) {
    // Made before any handler, so that it is old and no self-reaping takes it.
    pid_t zombie = raw_fork(SIGCHLD);
    if (zombie == 0) _exit(3);
    siginfo_t info;
    waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
    play(s);
    int status = 0;
    if (waitpid(zombie, &status, WNOHANG) != zombie || status != 3 << 8) s.tally.lost++;
}

// ---- D in the very window: it dies, or stops, because C has died or while C takes long to die

template <void (*play)(Stage &)>
void with_d_after_c(Stage &s) {
    s.d_after_c = true;
    s.weight_of_c = 4 << 20;
    play(s);
}

void with_a_stop(Stage &s) {
    s.d_stops = true;
    s.weight_of_c = 1 << 20;
    s.handle(0);
    s.rounds(rounds);
}

void with_an_unwanted_stop(Stage &s) {
    s.d_stops = true;
    s.weight_of_c = 1 << 20;
    s.wants_stops = false;
    s.handle(SA_NOCLDSTOP);
    s.rounds(rounds);
}

// ---- other exit signals

void with_exit_signal_0(Stage &s) {
    s.exit_signal = 0;
    s.handle(0);
    s.rounds(rounds);
}

void with_exit_signal_usr1(Stage &s) {
    s.exit_signal = SIGUSR1;
    s.handle(SA_NOCLDWAIT, SIGUSR1);  // a flag without a meaning here, to be kept all the same
    start_thread(sys::signal_bit(SIGUSR1), sleep_for_ever);
    s.rounds(rounds);
}

void with_exit_signal_usr1_and_sigwait(Stage &s) {
    s.exit_signal = SIGUSR1;
    set_blocked(SIGUSR1, true);
    s.listen = [](Notice &notice, int timeout) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        timespec limit = {timeout / 1000, timeout % 1000 * 1'000'000};
        siginfo_t info;
        if (sigtimedwait(&set, &info, &limit) != SIGUSR1) return false;
        notice = {info.si_pid, info.si_code};
        return true;
    };
    s.rounds(rounds);
}

// ---- vfork

void with_a_dormant_child(Stage &s) {
    s.make_c = dormant_child;
    with_a_sleeper(s);
}

TEST(VetoTest, AHandlerIsNotRunForTheChild) { expect_clean(perform(with_handler)); }
TEST(VetoTest, AHandlerWithSelfReapingIsNotRunForTheChild) {
    expect_clean(perform(with_handler_and_self_reaping));
}
TEST(VetoTest, AHandlerForDeathsOnlyIsNotRunForTheChild) {
    expect_clean(perform(with_handler_for_deaths_only));
}
TEST(VetoTest, NothingIsLeftWhereSigchldIsIgnored) { expect_clean(perform(with_sigchld_ignored)); }
TEST(VetoTest, NothingIsLeftWithTheDefaultAction) { expect_clean(perform(with_default_action)); }
TEST(VetoTest, ASignalfdDoesNotShowTheChild) { expect_clean(perform(with_signalfd)); }
TEST(VetoTest, SigwaitInAnotherThreadDoesNotReturnForTheChild) {
    expect_clean(perform(with_sigwait_elsewhere));
}
TEST(VetoTest, SigwaitWithTheDefaultActionDoesNotReturnForTheChild) {
    expect_clean(perform(with_sigwait_elsewhere_and_default_action));
}
TEST(VetoTest, WaitpidInAnotherThreadDoesNotReturnTheChild) {
    expect_clean(perform(with_waitpid_elsewhere<filtered_waitpid>));
}
TEST(VetoTest, WorksInsideAnotherSignalsHandler) { expect_clean(perform(inside_another_handler)); }
TEST(VetoTest, WorksInsideTheSigchldHandler) { expect_clean(perform(inside_the_sigchld_handler)); }
TEST(VetoTest, ASleepingThreadIsNotDisturbed) { expect_clean(perform(with_a_sleeper)); }
TEST(VetoTest, ABusyThreadIsNotDisturbed) { expect_clean(perform(with_a_busy_thread)); }
TEST(VetoTest, AThreadThatAloneHasSigchldOpenIsNotDisturbed) { expect_clean(perform(open_only_elsewhere)); }

TEST(VetoTest, ADeathBehindAnOldZombieIsAnnounced) {
    expect_clean(perform(behind_an_old_zombie<with_handler>));
}
TEST(VetoTest, SelfReapingLeavesAnOldZombieAlone) {
    expect_clean(perform(behind_an_old_zombie<with_handler_and_self_reaping>));
}
TEST(VetoTest, ADeathWhileTheChildDiesIsAnnounced) { expect_clean(perform(with_d_after_c<with_handler>)); }
TEST(VetoTest, AStopWhileTheChildDiesIsAnnounced) { expect_clean(perform(with_a_stop)); }
TEST(VetoTest, AStopThatNobodyWantsIsNotAnnounced) { expect_clean(perform(with_an_unwanted_stop)); }

TEST(VetoTest, AChildWithoutExitSignalIsReaped) { expect_clean(perform(with_exit_signal_0)); }
TEST(VetoTest, AnotherExitSignalsHandlerIsNotRun) { expect_clean(perform(with_exit_signal_usr1)); }
TEST(VetoTest, AnotherExitSignalIsNotLeftPending) {
    expect_clean(perform(with_exit_signal_usr1_and_sigwait));
}
TEST(VetoTest, ADormantVforkChildIsEndedUnseen) { expect_clean(perform(with_a_dormant_child)); }

// ---- what the stage would have noticed

TEST(VetoTwinTest, ANaiveEndIsAnnounced) { EXPECT_GT(perform(with_handler, end_naively).announced, 0); }
TEST(VetoTwinTest, ANaiveEndIsSeenBySigwait) {
    EXPECT_GT(perform(with_sigwait_elsewhere, end_naively).announced, 0);
}
TEST(VetoTwinTest, AnUnfilteredWaitReturnsTheChild) {
    EXPECT_GT(perform(with_waitpid_elsewhere<plain_waitpid>).returned, 0);
}
TEST(VetoTwinTest, ANaiveEndOfADormantChildIsAnnounced) {
    EXPECT_GT(perform(with_a_dormant_child, end_naively).announced, 0);
}

// ---- what is left: these hold for as long as they are true

// Whether something falls into the window is a matter of luck in each play: one that shows it will do.
bool is_ever_seen(const std::function<void(Stage &)> &play, int Tally::*fault) {
    for (int plays = 0; plays < 30; plays++)
        if (perform(play).*fault > 0) return true;
    return false;
}

TEST(VetoLimitTest, ADeathThatIsReapedElsewhereInTheWindowIsNotAnnounced) {
    // Announcing it would name a child that is gone.
    EXPECT_TRUE(is_ever_seen(with_waitpid_elsewhere<filtered_waitpid, true>, &Tally::lost));
}

// In the window children are kept as zombies, so that their deaths can be announced.
TEST(VetoLimitTest, AChildThatReapsItselfCanBeReturnedFromTheWindow) {
    EXPECT_TRUE(is_ever_seen(with_self_reaping_and_waitpid_elsewhere, &Tally::left_waitable));
}

}  // namespace
