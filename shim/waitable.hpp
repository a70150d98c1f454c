// SPDX-License-Identifier: MIT
// Which children of this process a wait function would return now, without taking them.
//
// waitid(P_ALL, WNOWAIT) shows the first of them only; a zombie that the program has not fetched yet
// would hide all younger ones. Their pids are in /proc, which is read by a short-lived thread with a
// descriptor table of its own, so that no number is taken from the program.
#pragma once

#include <signal.h>

namespace taskwatch {

// Calls `visit` for each such child with what waitid() tells of it. `options`: which kinds, as for waitid
// (WEXITED, WSTOPPED, WCONTINUED, __WCLONE). No child: one system call. Where /proc or the thread is not to
// be had, and on machines other than x86-64, only the first is visited. The calling thread has all signals
// blocked and is suspended while `visit` runs on a stack of 8 KiB and the caller's thread-local storage.
// One caller at a time in a process. Async-signal-safe, errno untouched.
void for_each_waitable(int options, void (*visit)(void *context, const siginfo_t &child), void *context);

}  // namespace taskwatch
