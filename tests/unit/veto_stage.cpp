// SPDX-License-Identifier: MIT
#include "veto_stage.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <cstring>
#include <new>
#include <ostream>
#include <semaphore>
#include <thread>

#include "clock.hpp"
#include "signal_action.hpp"
#include "sys.hpp"
#include "veto.hpp"

namespace stage {

using namespace taskwatch;

namespace {

constexpr int patience = 2000;  // ms until something that must come counts as lost

// Between the stage's process, its children, and the test.
struct Shared {
    std::atomic<bool> go;
    std::atomic<pid_t> c;  // the one D waits for
    std::atomic<bool> c_ready;
    std::atomic<uint64_t> d_died;  // or stopped
    Tally tally;
};
Shared *shared;
int notices[2];  // pipe

uint64_t now() { return clock_ns(CLOCK_MONOTONIC); }

// A process that was gone before it could be opened is no less dead.
void wait_for_end_of(int pidfd) {
    pollfd dead = {pidfd, POLLIN, 0};
    while (pidfd >= 0 && poll(&dead, 1, -1) != 1) {
    }
}

int open_pidfd(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

bool read_notice(Notice &notice, int timeout) {
    pollfd ready = {notices[0], POLLIN, 0};
    int n;
    while ((n = poll(&ready, 1, timeout)) == -1 && errno == EINTR) {
    }
    if (n == 0) return false;
    while (read(notices[0], &notice, sizeof notice) != sizeof notice) {
    }
    return true;
}

void live_and_die_as_d(unsigned delay, bool after_c, bool stops) {
    while (!shared->go.load()) sched_yield();
    if (after_c) {
        wait_for_end_of(open_pidfd(shared->c.load()));
    } else {
        for (uint64_t end = now() + delay; now() < end;) {
        }
    }
    shared->d_died.store(now());
    if (stops) kill(getpid(), SIGSTOP);
    _exit(7);
}

}  // namespace

std::ostream &operator<<(std::ostream &out, const Tally &t) {
    return out << t.rounds << " rounds, D within " << t.meanwhile << "; announced " << t.announced
               << ", returned " << t.returned << ", lost " << t.lost << ", left waitable " << t.left_waitable
               << ", left pending " << t.left_pending << ", unwanted " << t.unwanted << ", mask changed "
               << t.mask_changed << ", action changed " << t.action_changed << ", hidden for ever "
               << t.hidden_for_ever;
}

void end_by_veto(pid_t child, int exit_signal, uint64_t mask) {
    veto_announce(child);
    veto_end_child(child, exit_signal, mask);
}

void end_naively(pid_t child, int, uint64_t) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, __WALL);
}

pid_t raw_fork(int exit_signal) {
    pid_t pid = (pid_t)sys::call(SYS_clone, exit_signal, 0, 0, 0, 0);
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);  // a stage that is cut short leaves nobody
    return pid;
}

pid_t dormant_child() {
    alignas(16) static char stack[16384];
    auto live = [](void *) -> int { veto_make_dormant(); };
    // Its frames are never left, so AddressSanitizer's red zones between them stay in the memory that it shares with
    // us, and the next child's frames, which lie elsewhere, would run into them.
    ASAN_UNPOISON_MEMORY_REGION(stack, sizeof stack);
    return clone(live, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
}

void Stage::heard(const siginfo_t &info) {
    Notice notice = {info.si_pid, info.si_code};
    while (write(notices[1], &notice, sizeof notice) == -1 && errno == EINTR) {
    }
}

void Stage::on_signal(int, siginfo_t *info, void *) {
    int saved_errno = errno;
    heard(*info);
    errno = saved_errno;
}

void Stage::handle(int flags, int signal) {
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART | flags;
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(signal, &action, nullptr);
}

pid_t Stage::make_d() {
    unsigned delay = (unsigned)rand_r(&random_) % 300'000;
    pid_t d = raw_fork(exit_signal == 0 ? SIGCHLD : exit_signal);
    if (d == 0) live_and_die_as_d(delay, d_after_c, d_stops);
    return d;
}

void Stage::act() {
    shared->go = shared->c_ready = false;
    shared->d_died = 0;
    d_ = make_d();
    d_pidfd_ = open_pidfd(d_);
    SignalAction chld = SignalAction::of(SIGCHLD), own = SignalAction::of(exit_signal);
    sys::SignalMask mask = sys::set_signal_mask(sys::all_signals);
    sys::SignalMask closed = sys::set_signal_mask(sys::all_signals);
    c_ = make_c ? make_c() : raw_fork(exit_signal);
    if (c_ == 0) {
        // The address space is its own, so this is what the kernel has to take down before it is dead.
        if (weight_of_c) memset(operator new(weight_of_c), 1, weight_of_c);
        shared->c_ready = true;
        for (;;) pause();
    }
    vetoed_.push_back(c_);
    while (weight_of_c && !shared->c_ready.load()) sched_yield();
    shared->c = c_;
    shared->go = true;
    uint64_t from = now();
    end(c_, exit_signal, mask);
    uint64_t to = now();
    if (sys::set_signal_mask(closed) != closed) tally.mask_changed++;
    sys::set_signal_mask(mask);
    if (!(SignalAction::of(SIGCHLD) == chld) || !(SignalAction::of(exit_signal) == own))
        tally.action_changed++;
    siginfo_t stopped;
    if (d_stops)
        waitid(P_PID, (id_t)d_, &stopped, WSTOPPED | WNOWAIT);
    else
        wait_for_end_of(d_pidfd_);
    uint64_t died = shared->d_died.load();
    tally.meanwhile += from < died && died < to;
    tally.rounds++;
}

void Stage::follow() {
    if (d_stops) {
        if (wants_stops && !hear_of(d_, CLD_STOPPED)) tally.lost++;
        kill(d_, SIGKILL);
    }
    wait_for_end_of(d_pidfd_);
    close(d_pidfd_);
    if (expects_notice && !hear_of(d_, d_stops ? CLD_KILLED : CLD_EXITED)) tally.lost++;
    int status = 0;
    pid_t pid = fetch ? fetch(d_, status) : waitpid(d_, &status, __WALL);
    if (d_reaps_itself)
        tally.left_waitable += pid != -1;
    else if (pid != d_ || status != (d_stops ? SIGKILL : 7 << 8))
        tally.lost++;
    siginfo_t info = {};
    if (waitid(P_PID, (id_t)c_, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) != -1) tally.left_waitable++;
}

void Stage::judge(const Notice &notice) {
    for (pid_t pid : vetoed_) tally.announced += notice.pid == pid;
    tally.unwanted += notice.code == CLD_STOPPED && !wants_stops;
}

bool Stage::hear_of(pid_t pid, int code) {
    for (Notice notice; listen ? listen(notice, patience) : read_notice(notice, patience);) {
        judge(notice);
        if (notice.pid == pid && notice.code == code) return true;
    }
    return false;
}

// One more D and no C: whatever was under way to any thread has arrived before its notice.
void Stage::curtain() {
    d_stops = d_after_c = false;
    shared->go = false;
    d_ = make_d();
    d_pidfd_ = open_pidfd(d_);
    c_ = vetoed_.back();
    shared->go = true;
    follow();
    for (Notice notice; listen ? listen(notice, 0) : read_notice(notice, 0);) judge(notice);
    sigset_t pending;
    sigpending(&pending);
    tally.left_pending +=
        sigismember(&pending, SIGCHLD) + (exit_signal && sigismember(&pending, exit_signal));
    uint64_t limit = now() + patience * 500'000ull;
    while (veto_any_hidden() && now() < limit) sched_yield();
    tally.hidden_for_ever += veto_any_hidden();
}

void Stage::rounds(int n) {
    while (goes_on(n)) {
        act();
        follow();
    }
    curtain();
}

bool Stage::goes_on(int n) const {
    Tally clean;
    clean.rounds = tally.rounds;
    clean.meanwhile = tally.meanwhile;
    // Longer, if nothing was shown yet: on a busy machine D seldom dies in the window.
    const bool enough = tally.rounds >= n && (tally.meanwhile > 0 || tally.rounds >= 10 * n);
    return !enough && tally == clean;
}

Tally perform(const std::function<void(Stage &)> &play, End end) {
    void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = new (memory) Shared{};
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        if (pipe2(notices, O_CLOEXEC) != 0) _exit(1);
        Stage stage(end);
        play(stage);
        shared->tally = stage.tally;
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0) << "the play crashed or hung";
    Tally tally = shared->tally;
    munmap(memory, sizeof(Shared));
    return tally;
}

void start_thread(uint64_t open, std::function<void()> body) {
    static std::counting_semaphore<> running(0);
    sys::SignalMask mask = sys::set_signal_mask(sys::all_signals);
    std::thread([open, body = std::move(body)] {
        sys::set_signal_mask(sys::all_signals & ~open);
        running.release();
        body();
    }).detach();
    running.acquire();
    sys::set_signal_mask(mask);
}

void set_blocked(int signal, bool blocked) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

}  // namespace stage
