// SPDX-License-Identifier: MIT
// posix_spawn by our own hands: a child on the parent's memory (CLONE_VM | CLONE_VFORK) that can be
// stopped before any file action without a trace, because its exit signal is 0 until it execs.
//
// Knows nothing of watchers: what to ask in the child and how to exec come in as functions.
#pragma once

#include <spawn.h>
#include <sys/types.h>

namespace taskwatch {

struct SpawnRequest {
    const char *file;
    const posix_spawn_file_actions_t *actions;  // may be null
    const posix_spawnattr_t *attributes;        // may be null
    char *const *argv;
    char *const *envp;
    bool search_path;     // posix_spawnp: look `file` up in PATH of the *calling* process
    bool shell_fallback;  // symbol version 2.2.5: ENOEXEC runs /bin/sh

    // In the child, before any file action, with all signals blocked: 0 to go on, a positive errno
    // to end here unseen (spawn then returns it). Runs on the parent's memory, thread-local storage
    // and stack; the parent is suspended. `child` is the pid as the parent sees it, which is not
    // what getpid() says after unshare(CLONE_NEWPID).
    int (*held)(void *context, pid_t child);
    // In the child: replaces the image, returns a positive errno if that failed. A mapping that it
    // makes is the parent's too and stays there after the exec.
    int (*exec)(void *context, const char *path, char *const *argv, char *const *envp);
    void *context;
};

// True if glibc's file-action list and attributes are laid out as this code reads them and only tags
// and flags that it knows occur; otherwise the genuine function has to do it. Async-signal-safe.
bool spawn_can_do(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes);

// What became of the request.
struct SpawnResult {
    int error;   // 0 or the errno that posix_spawn returns
    pid_t pid;   // the child, also of one that was ended or whose exec failed (reaped then); 0: none was made
    bool vetoed; // `held` refused
};

// Makes the child. Returns when its exec has succeeded, or when it has ended and been reaped: no wait
// function in any thread then returns it. A vetoed child leaves no signal; one whose exec or file
// action failed leaves the SIGCHLD that it leaves under libc. The caller has all signals blocked;
// `mask` is what the program had, for the child. Not a cancellation point. Async-signal-safe.
//
// A child that somebody kills before its exec counts as made, as under libc: error 0 and its pid, and
// SIGCHLD is pending for it. See spawn_died_unseen().
SpawnResult spawn(const SpawnRequest &request, unsigned long long mask);

// True if `pid` is a child that was killed before its exec and that nobody has reaped: its exit signal
// is still 0, so the kernel shows it to a wait function only with __WALL. The wait wrappers ask
// when the genuine call returns ECHILD, repeat it with __WALL for this pid, and tell
// spawn_forget_unseen() when that reaped it. -1: is there any such child? (one load as a rule).
// Both async-signal-safe.
bool spawn_died_unseen(pid_t pid);
void spawn_forget_unseen(pid_t pid);

}  // namespace taskwatch
