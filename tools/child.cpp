// SPDX-License-Identifier: MIT
#include "child.hpp"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace taskwatch {

namespace {

constexpr __itimer_which_t clocks[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};

bool runs(const itimerval &timer) { return timer.it_value.tv_sec || timer.it_value.tv_usec; }

// A fork leaves these behind.
void pass_down(const Inherited &inherited, pid_t parent) {
    for (auto clock : clocks)
        if (runs(inherited.timers[clock])) setitimer(clock, &inherited.timers[clock], nullptr);
    if (!inherited.death_signal) return;
    prctl(PR_SET_PDEATHSIG, inherited.death_signal);
    // It would come for a parent that ended just before.
    if (getppid() != parent) kill(getpid(), inherited.death_signal);
}

// Back to its default action and unblocked, so that it does to us what it did to the child.
void let_through(int signal) {
    struct sigaction action = {};
    action.sa_handler = SIG_DFL;
    sigaction(signal, &action, nullptr);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    kill(getpid(), signal);
    sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

Inherited take_over() {
    Inherited inherited = {};
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &inherited.mask);
    struct sigaction wait_for_it = {};
    wait_for_it.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &wait_for_it, &inherited.child_action);
    prctl(PR_GET_PDEATHSIG, &inherited.death_signal);
    itimerval off = {};
    for (auto clock : clocks)
        if (getitimer(clock, &inherited.timers[clock]) == 0 && runs(inherited.timers[clock]))
            setitimer(clock, &off, nullptr);
    return inherited;
}

pid_t start_program(char *const *argv, const Inherited &inherited, void (*before_exec)(pid_t self)) {
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) return pid > 0 ? pid : -errno;
    before_exec(getpid());
    sigaction(SIGCHLD, &inherited.child_action, nullptr);
    pass_down(inherited, parent);
    sigprocmask(SIG_SETMASK, &inherited.mask, nullptr);
    execvp(argv[0], argv);
    int error = errno;
    dprintf(2, "taskwatch: %s: %s\n", argv[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126);
}

void stop_alike(int signal) {
    let_through(signal);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
}

void end_alike(int status) {
    if (WIFSIGNALED(status)) {
        // The program has left a core if it was to leave one.
        rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        prctl(PR_SET_DUMPABLE, 0);
        let_through(WTERMSIG(status));
        // A signal that does not end us: of the kernel's own making only.
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

}  // namespace taskwatch
