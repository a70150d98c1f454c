// SPDX-License-Identifier: MIT
// The child's half of spawn(): glibc's file-action list as it lies in memory, and what the child does
// between its creation and its exec. The parent's half is spawn.cpp.
#pragma once

#include <sys/types.h>

#include "path_search.hpp"
#include "spawn.hpp"
#include "sys.hpp"

namespace taskwatch {

// One element of posix_spawn_file_actions_t's list (glibc's struct __spawn_action). The tags are only
// ever appended and the union has had the size of its largest member, `open`, since 2000.
struct FileAction {
    enum Tag : unsigned { close, dup2, open, chdir, fchdir, closefrom, tcsetpgrp };
    unsigned tag;
    union {
        int fd;  // close, fchdir, closefrom, tcsetpgrp, and the first member of dup2 and open
        struct {
            int from, to;
        } dup2;
        struct {
            int fd;
            const char *path;
            int flags;
            mode_t mode;
        } open;
        const char *path;  // chdir
    } with;
};

// What parent and child share while the parent is suspended.
struct SpawnAttempt {
    const SpawnRequest *request;
    sys::SignalMask mask;          // the program's
    bool handlers_cleared;         // CLONE_CLEAR_SIGHAND has done it
    bool internal_signals_ignored; // the child of this libc's posix_spawn has 32 and 33 ignored
    pid_t pid = 0;                 // written by the kernel before the child runs
    int error = 0;
    bool vetoed = false;
    PathMemory memory = {};
};

// The child's whole life. `attempt` is a SpawnAttempt. No libc wrapper of a system call below here: they
// would write the parent's errno, and the set*id family would change the parent's other threads.
[[noreturn]] void run_spawn_child(void *attempt);

}  // namespace taskwatch
