// SPDX-License-Identifier: MIT
#include "watched_spawn.hpp"

#include <fcntl.h>
#include <sched.h>

#include <csignal>

#include "real.hpp"
#include "target.hpp"

namespace taskwatch {
namespace {

// What the kernel is asked for; the exit signal becomes SIGCHLD when the image is replaced.
constexpr uint64_t spawn_flags = CLONE_VM | CLONE_VFORK | SIGCHLD;

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

// Looks at the file, unless we are to be quiet or libc is yet to search for it.
Repair repair_for(const WatchedSpawn &call, const Thread &thread) {
    if (thread.in_callback) return Repair::take_out;
    if (process.quiet || process.config.disabled || call.search_path) return Repair::follow;
    const Target target = judge_target({AT_FDCWD, call.file, process.inheritance.library(), false});
    return target.loads_us || target.ignores_preload ? Repair::follow : Repair::leave;
}

SpawnResult spawn_by_libc(const WatchedSpawn &call, Thread &thread, bool watched) {
    int error = watched ? tell_without_hold(call.name, thread) : 0;
    if (error) return {error, 0, true};
    PassedEnvironment passed(call.envp, process.inheritance, repair_for(call, thread), "");
    pid_t pid = 0;
    error = call.genuine(&pid, call.file, call.actions, call.attributes, call.argv, passed.get());
    return {error, error ? 0 : pid, false};
}

}  // namespace

SpawnResult spawn_watched(const WatchedSpawn &call, Thread &thread, bool watched) {
    if (process.quiet || process.config.disabled || !spawn_can_do(call.actions, call.attributes))
        return spawn_by_libc(call, thread, watched);
    CreateCall create{call.name, spawn_flags};
    Spawning spawning{create,
                      nullptr,
                      {.name = call.name,
                       .directory = AT_FDCWD,
                       .path = call.file,
                       .flags = 0,
                       .search = call.search_path,
                       .argv = call.argv,
                       .envp = call.envp,
                       .genuine = genuine_execve}};
    if (watched) {
        int error;
        spawning.level = begin_vfork(thread, create, &error);
        if (!spawning.level && error) return {error, 0, true};
    }
    sys::SignalMask mask = spawning.level ? spawning.level->mask : sys::set_signal_mask(sys::all_signals);
    SpawnRequest request{.file = call.file,
                         .actions = call.actions,
                         .attributes = call.attributes,
                         .argv = call.argv,
                         .envp = call.envp,
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
    return result;
}

int tell_without_hold(const char *name, Thread &thread) {
    CreateCall create{name, spawn_flags, false};
    int error;
    VforkLevel *level = begin_vfork(thread, create, &error);
    if (level) abandon_vfork(thread, *level, create);
    return level ? 0 : error;
}

}  // namespace taskwatch
