// SPDX-License-Identifier: MIT
// Exported: posix_spawn and posix_spawnp, in both of libc's versions: 2.2.5 falls back to the shell for a
// script without `#!`, 2.15 does not.
#include <pthread.h>

#include "export.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "watched_spawn.hpp"

using namespace taskwatch;

namespace {

struct SpawnCall {
    const char *name;
    bool search_path;
    bool shell_fallback;
    int (*genuine)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                   char *const *, char *const *);
};

int spawn_call(const SpawnCall &call, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
               const posix_spawnattr_t *attributes, char *const *argv, char *const *envp) {
    Thread &thread = self();
    bool watched = wanted(mask_life) && !thread.in_callback;
    int saved_errno = errno, cancel_state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    SpawnResult result = spawn_watched({.name = call.name,
                                        .file = file,
                                        .actions = actions,
                                        .attributes = attributes,
                                        .argv = argv,
                                        .envp = envp,
                                        .search_path = call.search_path,
                                        .shell_fallback = call.shell_fallback,
                                        .genuine = call.genuine},
                                       thread, watched);
    pthread_setcancelstate(cancel_state, nullptr);
    // It returns the number, and libc's leaves it in errno as well: there are programs that look there.
    errno = result.error ? result.error : saved_errno;
    if (result.error == 0 && pid) *pid = result.pid;
    return result.error;
}

constexpr const char *spawn_name = "posix_spawn", *spawnp_name = "posix_spawnp";

}  // namespace

// Declared apart from <spawn.h>, whose declarations bind to one version.
#define SPAWN_FUNCTION(function, name, search, shell, version)                                                     \
    EXPORT int function(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,                  \
                        const posix_spawnattr_t *attributes, char *const *argv, char *const *envp) {              \
        return spawn_call({name, search, shell, real::version.get()}, pid, file, actions, attributes, argv, envp); \
    }
SPAWN_FUNCTION(taskwatch_posix_spawn, spawn_name, false, false, posix_spawn)
SPAWN_FUNCTION(taskwatch_posix_spawnp, spawnp_name, true, false, posix_spawnp)
SPAWN_FUNCTION(taskwatch_posix_spawn_compat, spawn_name, false, true, posix_spawn_compat)
SPAWN_FUNCTION(taskwatch_posix_spawnp_compat, spawnp_name, true, true, posix_spawnp_compat)

asm(".symver taskwatch_posix_spawn, posix_spawn@@@GLIBC_2.15");
asm(".symver taskwatch_posix_spawnp, posix_spawnp@@@GLIBC_2.15");
asm(".symver taskwatch_posix_spawn_compat, posix_spawn@" SPAWN_OF_OLD ", remove");
asm(".symver taskwatch_posix_spawnp_compat, posix_spawnp@" SPAWN_OF_OLD ", remove");
