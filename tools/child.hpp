// SPDX-License-Identifier: MIT
// The program that is supervised: our child, in our process group and on our terminal, started with the signal mask,
// dispositions and descriptors that we were started with.
#pragma once

#include <signal.h>
#include <sys/time.h>
#include <sys/types.h>

namespace taskwatch {

// What the launcher was started with, and its child is to have.
struct Inherited {
    sigset_t mask;
    struct sigaction child_action;  // of SIGCHLD: ignored, it would reap our child before we can ask how it ended
    int death_signal;               // PR_SET_PDEATHSIG
    itimerval timers[3];            // alarm(2) and setitimer(2), as in perl's "alarm 5; exec"
};

// Blocks every signal, sets SIGCHLD's action to what waiting needs, stops the timers.
Inherited take_over();

// Forks and executes argv[0], found in PATH as execvp(3) does, with `environ`. `before_exec` runs in the child, the
// last thing before the exec. In the child a failed exec is one line and status 126 or 127. The pid or a negative errno.
pid_t start_program(char *const *argv, const Inherited &inherited, void (*before_exec)(pid_t self));

// Stops the caller as its child was stopped: by the same signal, so that a shell says the same. Returns when
// it is continued.
void stop_alike(int signal);

// Ends the caller with this raw wait status: the same exit status, or the same signal, without a core of its own.
[[noreturn]] void end_alike(int status);

}  // namespace taskwatch
