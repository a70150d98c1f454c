// SPDX-License-Identifier: MIT
// A child that execs, made by our own spawn() and told of: INIT, CLONE, the repaired environment, the
// forecast. What posix_spawn, system and popen have in common; what each of them returns is theirs.
#pragma once

#include "lifecycle.hpp"
#include "spawn.hpp"

namespace taskwatch {

struct WatchedSpawn {
    const char *name;  // of the wrapped call, for the records
    const char *file;
    const posix_spawn_file_actions_t *actions = nullptr;
    const posix_spawnattr_t *attributes = nullptr;
    char *const *argv;
    char *const *envp;
    bool search_path = false;
    bool shell_fallback = false;
    // libc's own function, for a child that we cannot make: under a seccomp filter, with a list of actions that we
    // cannot read, on another machine.
    int (*genuine)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const *,
                   char *const *);
};

// Makes it. `watched`: somebody wants to be told; if not, the environment is repaired all the same. A child
// that was stopped, at INIT or at CLONE, has `vetoed` and the watcher's error. errno and the cancellation
// state are the caller's care. Signals are as before when it returns. Of a child that libc makes only INIT
// is told, see tell_without_hold().
SpawnResult spawn_watched(const WatchedSpawn &call, Thread &thread, bool watched);

// For a child that libc makes by itself and that can therefore not be held: INIT, and FREE at once; it is adopted
// when it execs. 0, or the errno of a watcher that stops it.
[[nodiscard]] int tell_without_hold(const char *name, Thread &thread);

}  // namespace taskwatch
