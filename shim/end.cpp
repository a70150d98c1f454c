// SPDX-License-Identifier: MIT
// Lifecycle: a task ends. EXIT, then FREE, once, before its parent can learn of it through a wait
// function: by the task itself, or on behalf of one that could not run code.
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>

#include "ledger.hpp"
#include "lifecycle.hpp"
#include "loader.hpp"
#include "missed.hpp"
#include "process_stat.hpp"
#include "real.hpp"
#include "session.hpp"

namespace taskwatch {
namespace {

void tell(Thread &thread, const Task &task, unsigned long action, const Ending &ending, Claim &claim) {
    const uint32_t mask = get_watch_event(action) == WATCH_TASK_EXIT ? WATCH_MASK_EXIT : WATCH_MASK_FREE;
    if (!process.wants(mask)) return;
    task_watch record = make_record(task, ending.call, thread);
    record.exit_status = ending.status;
    record.usage = ending.usage;
    deliver(thread, action, record, {.need = mask, .honour = ~0u, .progress = claim.slot ? &claim : nullptr});
}

// What the end of `task` still owes: all of it, as a rule.
void tell_end(Thread &thread, const Task &task, const Ending &ending, unsigned long flags, Claim &claim) {
    if (claim.owes_exit()) {
        tell(thread, task, WATCH_TASK_EXIT | flags, ending, claim);
        if (process.wants(WATCH_MASK_EXIT)) flags &= ~WATCH_ADOPTED;
        ledger.exit_told(claim);
    }
    if (claim.owes_free()) tell(thread, task, WATCH_TASK_FREE | flags, ending, claim);
}

// The status of a child of this process that is dead and not waited for: looked at, left where it is.
bool look_at_corpse(pid_t pid, int &ret_status, struct rusage &ret_usage) {
    siginfo_t info = {};
    if (sys::call(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, &ret_usage) != 0) return false;
    if (info.si_pid != pid) return false;
    ret_status = info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8
                                            : info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
    return true;
}

void end_dead(void *, const Task &task) {
    struct rusage usage;
    Ending ending{.call = "sweep"};
    // A corpse with its pid may be a later task's.
    Task later;
    const bool shadowed = ledger.find_owing(task.pid, later) && later.id != task.id;
    ending.status_known = task.pid != 0 && !shadowed && is_process_of(task.pid, task.start_ns) && look_at_corpse(task.pid, ending.status, usage);
    if (ending.status_known) ending.usage = &usage;
    end_on_behalf(task, ending);
}

// Whether the session's first process, which sweeps at its end, is this one or gone.
bool is_without_root(const Task &task) {
    if (ledger.living() <= 1 || process.quiet) return false;
    return task.pid == session.root() || sys::call(SYS_kill, session.root(), 0) == -ESRCH;
}

// What nobody else is left to tell: children that nobody waited for, orphans, threads without storage of
// ours. The session's first process looks at its end, and when it is gone the last one does, which would not know that it is
// while the dead are counted. Who has claimed its own end does not count as living any more: of two that end at once one
// at least sees itself as the last. False: somebody else lives.
bool end_others(const Task &task) {
    if (task.pid != session.root() && ledger.has_living_others(task)) return false;
    sweep_dead();
    return true;
}

void end_other(void *context, const Task &task) { end_on_behalf(task, *static_cast<const Ending *>(context)); }

}  // namespace

void park_if_ending() {
    pid_t ender = process.ender.load(std::memory_order_relaxed);
    if (ender == 0 || process.quiet) [[likely]] return;
    if (ender == sys::gettid()) return;
    // Microseconds to live. A fork's child has no such thread any more, nor has a vfork child's parent.
    if (sys::getpid() != process.main.pid) return;
    for (;;) sys::call(SYS_pause);
}

void end_task(Thread &thread, Task &task, const char *call, int status, bool group) {
    if (group) {
        pid_t nobody = 0;
        if (!process.ender.compare_exchange_strong(nobody, thread.tid)) park_if_ending();
        // The other threads run on until the kernel ends them, but tell nothing any more: it is told for them.
        Ending theirs{.call = call, .status = status};
        ledger.for_each_in_group(process.main, task, end_other, &theirs);
    }
    Claim claim;
    if (task.ended || !ledger.claim_end(task, task, 0, claim)) return;
    task.ended = true;
    const bool without_root = group && is_without_root(task);
    const bool looked = without_root && end_others(task);
    tell_end(thread, task, {.call = call, .status = status}, take_adopted_flag(task), claim);
    bool last = group && (ledger.is_last(task) || (looked && !ledger.has_others(task)));
    // Under a seccomp filter a fini could neither ask nor write, and has no record that would say so.
    if (group && !process.quiet) finish_watchers(last ? TASKWATCH_FINI_SESSION : TASKWATCH_FINI_PROCESS);
    // Not after leave(): with it the supervisor takes everything for told.
    if (group && task.pid == session.root()) missed.write_line();
    ledger.leave(claim);
    // Two that end at once have seen each other.
    if (without_root && !last) last = !ledger.has_others(task);
    // Under a seccomp filter the segment stays until the next session's founder finds it.
    if (last && !process.quiet) session.close();
}

void end_on_behalf(const Task &task, const Ending &ending) {
    Thread &thread = self();
    const Task &by = identify(thread);
    Claim claim;
    for (int attempt = 0; !ledger.claim_end(task, by, ending.dead, claim); attempt++)
        if (attempt == 64 || !ledger.await_end(task, by)) return;
    tell_end(thread, task, ending, WATCH_ON_BEHALF | (ending.status_known ? 0 : WATCH_STATUS_UNKNOWN), claim);
    ledger.leave(claim);
}

void end_reaped_child(pid_t pid, int status, const char *call, const struct rusage *usage) {
    Task task;
    if (!ledger.find_owing(pid, task) || task.pid != task.tgid) return;
    // Threads that were cut off with it: the kernel has no status of theirs for us.
    Ending ending{.call = call, .status = status, .dead = pid};
    ledger.for_each_in_group(task, task, end_other, &ending);
    ending.usage = usage;
    end_on_behalf(task, ending);
}

bool wants_usage() {
    if (!wanted(WATCH_MASK_EXIT) || self().in_callback) return false;
    static constinit std::atomic<signed char> one_object{-1};
    signed char known = one_object.load(std::memory_order_relaxed);
    if (known < 0) {
        void *wait4 = reinterpret_cast<void *>(real::wait4.get());
        known = real::in_one_object(reinterpret_cast<void *>(real::waitpid.get()), wait4) &&
                real::in_one_object(reinterpret_cast<void *>(real::waitid.get()), wait4);
        one_object.store(known, std::memory_order_relaxed);
    }
    return known;
}

void end_threads_cut_off(const Task &task) {
    // The kernel's status for a thread that another one's exec ends is 0 (de_thread).
    Ending theirs{.call = "execve"};
    ledger.for_each_in_group(task, task, end_other, &theirs);
}

int sweep_dead() {
    // From inside a pid namespace of its own everybody else looks dead.
    if (!session.is_of_our_pids()) return 0;
    return ledger.for_each_dead(end_dead, nullptr);
}

}  // namespace taskwatch
