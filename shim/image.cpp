// SPDX-License-Identifier: MIT
// Lifecycle: a process's image is replaced. Before the call: BEFORE to those who asked, a forecast to
// everybody if the new image will not load us; the passed environment repaired in a copy; after a
// refused call FAILED. EXEC itself is told by the new image.
#include <fcntl.h>
#include <sys/auxv.h>

#include "ledger.hpp"
#include "lifecycle.hpp"
#include "missed.hpp"
#include "own_storage.hpp"
#include "path_search.hpp"
#include "target.hpp"

namespace taskwatch {
namespace {

constexpr uint32_t want_before = WATCH_MASK_EXEC | WATCH_MASK_BEFORE;
constexpr uint32_t want_failed = WATCH_MASK_EXEC | WATCH_MASK_FAILED;

// One EXEC event in the old image.
WalkResult tell(const ImageCall &call, const char *path, char *const *argv, unsigned long flags, uint32_t context,
                int error, const Delivery &delivery) {
    Thread &thread = self();
    task_watch record = make_record(identify(thread), call.name, thread);
    record.context |= context;
    record.path = path;
    record.argv = argv;
    record.error = error;
    return deliver(thread, WATCH_TASK_EXEC | flags, record, delivery);
}

// The genuine call with a repaired environment; E2BIG through the repair is tried once more with the
// program's own.
int call_genuine(const ImageCall &call, const char *path, char *const *argv, char *const *envp, Repair repair,
                 const char *first_library) {
    Thread &thread = self();
    // A thread that is not the leader goes on under the leader's pid if this succeeds.
    const Task *successor = thread.current && !thread.in_vfork_child() && thread.current->pid != thread.current->tgid &&
                                    thread.current->tgid == process.main.tgid
                                ? thread.current
                                : nullptr;
    const Task &own = thread.current ? *thread.current : process.main;
    if (successor) ledger.mark_successor(process.main, *successor, true);
    ledger.mark_exec(own, true);
    PassedEnvironment passed(envp, process.inheritance, repair, first_library);
    // A vfork child that execs leaves its mapping in its parent's memory: the parent takes it away.
    VforkLevel *level = thread.in_vfork_child() ? &thread.levels[thread.depth - 1] : nullptr;
    if (level) {
        level->environment = passed.mapping();
        level->environment_bytes = passed.mapped();
    }
    int saved_errno = errno;
    call.genuine(call, path, argv, passed.get());
    if (level) level->environment = nullptr;
    if (errno == E2BIG && passed.changed()) {
        errno = saved_errno;
        call.genuine(call, path, argv, envp);
    }
    int error = errno;
    ledger.mark_exec(own, false);
    if (successor) ledger.mark_successor(process.main, *successor, false);
    errno = saved_errno;
    return error;
}

int candidate(void *context, const char *path, char *const *argv, char *const *envp) {
    return try_image(*static_cast<const ImageCall *>(context), path, argv, envp);
}

}  // namespace

int try_image(const ImageCall &call, const char *path, char *const *argv, char *const *envp) {
    // What a callback starts is not watched: the library is taken out for it.
    if (self().in_callback && storage_is_libcs()) return call_genuine(call, path, argv, envp, Repair::take_out, "");
    if (!process.config.follow) return call_genuine(call, path, argv, envp, Repair::take_out, "");
    if (process.quiet || !process.inheritance.library() || !storage_is_libcs())
        return call_genuine(call, path, argv, envp, Repair::follow, "");
    Target target = judge_target({.directory = call.directory,
                                  .path = path,
                                  .library = process.inheritance.library(),
                                  .secure = wanted(WATCH_MASK_EXEC) || missed.line_is_wanted()});
    const bool forecast = !target.loads_us && wanted(WATCH_MASK_EXEC);
    // Before the call: who succeeds does not come back.
    const uint32_t counted = target.loads_us ? 0 : missed.add_program(identify(self()).id, *path ? path : call.name);
    if (forecast) {
        // Those who asked for BEFORE have been told already and could stop it there.
        tell(call, path, argv, WATCH_BEFORE | take_adopted_flag(identify(self())), TASKWATCH_FORECAST, 0, {.need = WATCH_MASK_EXEC, .honour = ~0u});
    }
    // Out of the list also for a static image, which reads none: what it execs may be for a loader that would print
    // an error (R8).
    int error = call_genuine(call, path, argv, envp, target.loads_us ? Repair::follow : Repair::leave,
                             target.first_library);
    if (!target.loads_us) missed.take_back(counted);
    if (forecast)
        tell(call, path, argv, WATCH_FAILED, TASKWATCH_FORECAST, error, {.need = WATCH_MASK_EXEC, .honour = ~0u});
    return error;
}

// What is nowhere is for the kernel to refuse: neither we nor a watcher may look at it.
static bool is_readable(const ImageCall &call) {
    if (process.quiet) return true;
    return sys::is_readable(call.path) && (!call.argv || sys::is_readable(call.argv)) &&
           (!call.envp || sys::is_readable(call.envp));
}

int replace_image(const ImageCall &call) {
    if (!is_readable(call)) return call.genuine(call, call.path, call.argv, call.envp);
    bool watched = wanted(WATCH_MASK_EXEC) && !self().in_callback;
    park_if_ending();
    if (watched && process.wants(WATCH_MASK_BEFORE)) {
        WalkResult result = tell(call, call.path, call.argv, WATCH_BEFORE, 0, 0,
                                 {.need = want_before, .honour = want_before});
        if (result.stopped()) {
            errno = errno_of_stop(result.value);
            return -1;
        }
    }
    int error;
    Thread &thread = self();
    if (call.search)
        error = path_search({.file = call.path,
                             .path = current_path(),
                             .argv = call.argv,
                             .envp = call.envp,
                             .shell_fallback = true,
                             .exec = candidate,
                             .context = const_cast<ImageCall *>(&call),
                             .memory = thread.in_vfork_child() ? &thread.levels[thread.depth - 1].search : nullptr});
    else
        error = try_image(call, call.path, call.argv, call.envp);
    if (watched && process.wants(WATCH_MASK_FAILED))
        tell(call, call.path, call.argv, WATCH_FAILED, 0, error, {.need = want_failed, .honour = ~0u});
    errno = error;
    return -1;
}

void announce_image(Thread &thread) {
    Task &task = process.main;
    if (!ledger.find_after_exec(sys::getpid(), task)) task = Task{};
    thread.tid = task.pid;  // 0: identify() adopts it
    identify(thread);
    missed.take_back_of(task.id);
    end_threads_cut_off(task);
    if (!process.wants(WATCH_MASK_EXEC)) return;
    task_watch record = make_record(task, "execve", thread);
    record.path = reinterpret_cast<const char *>(getauxval(AT_EXECFN));
    record.argv = process.argv;
    deliver(thread, WATCH_TASK_EXEC | take_adopted_flag(task), record, {.need = WATCH_MASK_EXEC, .honour = ~0u});
}

}  // namespace taskwatch
