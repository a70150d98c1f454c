// SPDX-License-Identifier: MIT
// The handlers of ours that libc runs at a process's end and around fork, and their registration.
#pragma once

namespace taskwatch {

// EXIT and FREE of the calling task with an exit status as given to exit(3); once.
void end_here(const char *call, int status);

// on_exit's handler: flushes stdio first, which exit would do right after it and which can still kill
// the process (`prog | true`), then end_here().
void at_true_end(int status, void *);
void at_quick_end(void *);

// Registers ours: called before anybody else's registration is forwarded, so that ours is first and
// therefore last to run at exit and first to run in a forked child. Any number of times, does it once.
void register_handlers();

}  // namespace taskwatch
