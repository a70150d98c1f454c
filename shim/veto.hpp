// SPDX-License-Identifier: MIT
// Ending a held child so that nobody notices, and hiding its pid from the wait functions.
//
// The kernel drops a SIGCHLD at sending time when its action is SIG_DFL and the forking thread has it
// unblocked. So: swap the action, kill, reap, put it back, and announce again what other children of
// the program did meanwhile. What this cannot hide is listed at the end of veto.cpp's first comment.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

// Before the child can end: its pid is hidden from veto_hides()'s callers from now on.
void veto_announce(pid_t child);

// Kills and reaps `child`, a held child of the calling thread that was made with `exit_signal` (SIGCHLD,
// another signal or 0). One of CLONE_PARENT is not ours to reap and is not even killed here. The calling
// thread has all signals blocked. `mask`: what the program had. One veto at a time per process: another
// waits up to two seconds for its turn, and the child gets as long to die. errno is not touched.
// Async-signal-safe.
void veto_end_child(pid_t child, int exit_signal, uint64_t mask);

// Called in a vfork-like child (CLONE_VM, parent suspended) instead of going on: the process stays alive
// with a second thread that only waits, its leader ends, and so the parent resumes without having been sent
// anything. The parent then does veto_announce() and veto_end_child(). If no thread can be made, and on
// machines other than x86-64, the process exits 127: its death is then announced as any other.
[[noreturn]] void veto_make_dormant();

// True if a wait function has just taken a vetoed child: the caller then waits again. Consumes it.
bool veto_hides(pid_t pid);

// The same for a result that leaves the child where it is (WNOWAIT, a stop): consumes nothing.
bool veto_would_hide(pid_t pid);

// True if any vetoed child is not yet accounted for: one load, for the wait wrappers' fast path.
bool veto_any_hidden();

// A child with this pid has been made, so whatever vetoed child had it before is gone. One load unless
// something is hidden.
void veto_forget(pid_t pid);

// Another thread may have swapped SIGCHLD's action at the moment of a fork. veto_before_fork()
// is called in the creator before the real call, veto_after_fork_in_child() in the child with what it
// returned, also if the child came of a veto: that resets what is the parent's. A load, and a compare.
uint64_t veto_before_fork();
void veto_after_fork_in_child(uint64_t ticket);

// For a child on its creator's memory (vfork, CLONE_VM): puts the action right and leaves the creator's
// state alone, which the other function would reset under its feet. Not for CLONE_SIGHAND: there the
// actions are the creator's too, and the thread that swapped them puts them back.
void veto_after_vfork_in_child(uint64_t ticket);

}  // namespace taskwatch
