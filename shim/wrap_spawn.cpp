// SPDX-License-Identifier: MIT
// Exported: posix_spawn and posix_spawnp, in both of libc's versions: 2.2.5 falls back to the shell for a
// script without `#!`, 2.15 does not.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#include <cerrno>
#include <csignal>

#include "export.hpp"
#include "lifecycle.hpp"
#include "real.hpp"
#include "spawn.hpp"

using namespace taskwatch;

namespace {

struct SpawnCall {
    const char *name;
    bool search_path;
    bool shell_fallback;
    int (*genuine)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                   char *const *, char *const *);
};

struct Spawning {
    CreateCall call;
    VforkLevel *level;  // null: unwatched
    ImageCall image;
};

// The child shares our thread-local storage: the genuine function would write errno there, which the
// spawning thread's wrapper puts back.
int genuine_execve(const ImageCall &, const char *path, char *const *argv, char *const *envp) {
    return real::execve(path, argv, envp);
}

int held(void *context, pid_t child) {
    auto *spawning = static_cast<Spawning *>(context);
    if (!spawning->level) return 0;
    return decide_in_vfork_child(self(), *spawning->level, spawning->call, child);
}

int exec(void *context, const char *path, char *const *argv, char *const *envp) {
    return try_image(static_cast<Spawning *>(context)->image, path, argv, envp);
}

// A child that libc makes by itself (a list we cannot read, a seccomp filter): it cannot be held. INIT can
// be told, and FREE at once; the child is adopted when it execs.
int spawn_by_libc(const SpawnCall &call, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                  const posix_spawnattr_t *attributes, char *const *argv, char *const *envp, Thread &thread,
                  bool watched) {
    CreateCall create{call.name, CLONE_VM | CLONE_VFORK | SIGCHLD};
    if (watched) {
        int error;
        VforkLevel *level = begin_vfork(thread, create, &error);
        if (!level && error) return error;
        if (level) abandon_vfork(thread, *level, create);
    }
    PassedEnvironment passed(envp, process.inheritance, thread.in_callback ? Repair::take_out : Repair::follow, "");
    return call.genuine(pid, file, actions, attributes, argv, passed.get());
}

int spawn_watched(const SpawnCall &call, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                  const posix_spawnattr_t *attributes, char *const *argv, char *const *envp, Thread &thread,
                  bool watched) {
    // What the kernel is asked for; the exit signal becomes SIGCHLD when the image is replaced.
    CreateCall create{call.name, CLONE_VM | CLONE_VFORK | SIGCHLD};
    Spawning spawning{create,
                      nullptr,
                      {.name = call.name,
                       .directory = AT_FDCWD,
                       .path = file,
                       .flags = 0,
                       .search = call.search_path,
                       .argv = argv,
                       .envp = envp,
                       .genuine = genuine_execve}};
    if (watched) {
        int error;
        spawning.level = begin_vfork(thread, create, &error);
        if (!spawning.level && error) return error;
    }
    sys::SignalMask mask = spawning.level ? spawning.level->mask : sys::set_signal_mask(sys::all_signals);
    SpawnRequest request{.file = file,
                         .actions = actions,
                         .attributes = attributes,
                         .argv = argv,
                         .envp = envp,
                         .search_path = call.search_path,
                         .shell_fallback = call.shell_fallback,
                         .held = held,
                         .exec = exec,
                         .context = &spawning};
    SpawnResult result = spawn(request, mask);
    if (VforkLevel *level = spawning.level) {
        // A stopped child was ended by spawn() already; one whose exec failed lived, and ended with 127.
        level->veto_error = 0;
        if (result.error && result.pid && !result.vetoed)
            finish_failed_spawn(thread, *level, create);
        else
            finish_vfork(thread, *level, create, result.error ? -result.error : result.pid);
    } else {
        sys::set_signal_mask(mask);
    }
    if (result.error == 0 && pid) *pid = result.pid;
    return result.error;
}

int spawn_call(const SpawnCall &call, pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
               const posix_spawnattr_t *attributes, char *const *argv, char *const *envp) {
    Thread &thread = self();
    bool watched = wanted(mask_life) && !thread.in_callback;
    int saved_errno = errno, cancel_state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    int error = process.quiet || process.config.disabled || !spawn_can_do(actions, attributes)
                    ? spawn_by_libc(call, pid, file, actions, attributes, argv, envp, thread, watched)
                    : spawn_watched(call, pid, file, actions, attributes, argv, envp, thread, watched);
    pthread_setcancelstate(cancel_state, nullptr);
    // It returns the number, and libc's leaves it in errno as well: there are programs that look there.
    errno = error ? error : saved_errno;
    return error;
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
asm(".symver taskwatch_posix_spawn_compat, posix_spawn@GLIBC_2.2.5, remove");
asm(".symver taskwatch_posix_spawnp_compat, posix_spawnp@GLIBC_2.2.5, remove");
