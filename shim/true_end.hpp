// SPDX-License-Identifier: MIT
// The handlers of ours that libc runs at a process's end and around fork, and their registration.
#pragma once

#include <sys/types.h>

namespace taskwatch {

// EXIT and FREE of the calling task with an exit status as given to exit(3); once.
void end_here(const char *call, int status);

// on_exit's handler: flushes stdio first, which exit would do right after it and which can still kill
// the process (`prog | true`), then end_here().
void at_true_end(int status, void *);
void at_quick_end(void *);

// Each registers one of ours, once. Called before anybody else's registration of that kind is forwarded, so that ours
// is first and therefore last to run at exit and first to run in a forked child; otherwise at the start (exit: libc
// registers its own without asking us) or before the call that runs them: quick_exit, a fork that is watched. A fork that
// nobody watches needs ours once there is a chain, or a thread that may be making one: they register them.
void register_exit_handler();
void register_quick_handler();
void register_fork_handlers();

// libc's fork with our handlers registered, for create_process().
pid_t fork_genuinely(void *);

}  // namespace taskwatch
