// SPDX-License-Identifier: MIT
// Lifecycle: a child that runs on its creator's memory and thread-local storage while the kernel
// suspends the creator: vfork, and our own posix_spawn. CLONE runs on the child's side. What the child
// changes here the parent puts back.
#include <sched.h>

#include <cerrno>
#include <csignal>

#include "clock.hpp"
#include "ledger.hpp"
#include "lifecycle.hpp"
#include "veto.hpp"

namespace taskwatch {
namespace {

void free_refused(Thread &thread, VforkLevel &level, const CreateCall &call, int error) {
    task_watch record = make_record(level.child, call.name, thread);
    record.clone_flags = call.flags;
    if (!call.held) record.context |= TASKWATCH_NOT_HELD;
    record.error = error;
    record.stopped_by = level.stopped_by;
    free_refused(thread, level.child, record, level.serial);
}

// Back to what the thread was before this level: whatever deeper children left is cut off.
void leave_level(Thread &thread, VforkLevel &level) {
    thread.depth = (uint32_t)(&level - thread.levels);
    thread.current = level.outer;
    thread.tid = level.outer_tid;
    thread.in_callback = 0;
    if (level.environment) sys::call(SYS_munmap, level.environment, level.environment_bytes);
    level.environment = nullptr;
    level.search.release();
    chain.release_down_to(thread.pins, level.pins);
}

void unblock(Thread &thread, const VforkLevel &level) {
    thread.signals_blocked = false;
    sys::set_signal_mask(level.mask);
}

// Of a child that was killed before it had told all of its CLONE: what is owed of it, and its pid, by which a wait
// function knows whose end to tell.
void tell_rest_of_clone(Thread &thread, VforkLevel &level, const CreateCall &call, pid_t pid) {
    if (level.child.slot == Task::no_slot) return;
    if (level.child.pid == 0) level.child.pid = level.child.tgid = pid;
    if (level.child.start_ns == 0) level.child.start_ns = boottime_ns();
    Claim claim;
    if (!ledger.take_over_clone(level.child, identify(thread), claim)) return;
    if (process.wants(WATCH_MASK_CLONE)) {
        task_watch record = make_record(level.child, call.name, thread);
        record.clone_flags = call.flags;
        record.context |= TASKWATCH_NOT_HELD;
        deliver(thread, WATCH_TASK_CLONE | WATCH_ON_BEHALF, record,
                {.need = WATCH_MASK_CLONE, .honour = ~0u, .progress = &claim});
    }
    ledger.clone_told(claim);
}

}  // namespace

VforkLevel *begin_vfork(Thread &thread, const CreateCall &call, int *ret_error) {
    *ret_error = 0;
    // Deeper than we can remember: it passes, and is adopted when it execs.
    if (thread.depth >= Thread::max_levels) return nullptr;
    park_if_ending();
    VforkLevel &level = thread.levels[thread.depth];
    level = VforkLevel{};
    level.mask = sys::set_signal_mask(sys::all_signals);
    thread.signals_blocked = true;
    Task &creator = identify(thread);
    level.outer = thread.current;
    level.outer_tid = thread.tid;
    level.pins = thread.pins.depth;
    level.child.ppid = call.flags & CLONE_PARENT ? creator.ppid : creator.tgid;
    ledger.enter(level.child, &creator);
    task_watch record = make_record(level.child, call.name, thread);
    record.clone_flags = call.flags;
    if (!call.held) record.context |= TASKWATCH_NOT_HELD;
    WalkResult result = deliver(thread, WATCH_TASK_INIT, record, {.need = WATCH_MASK_INIT});
    level.serial = result.serial;
    if (result.stopped()) {
        level.stopped_by = result.stopped_by;
        *ret_error = errno_of_stop(result.value);
        free_refused(thread, level, call, *ret_error);
        unblock(thread, level);
        return nullptr;
    }
    level.ticket = veto_before_fork();
    thread.depth++;
    return &level;
}

int decide_in_vfork_child(Thread &thread, VforkLevel &level, const CreateCall &call, pid_t pid) {
    pid_t creator_tid = thread.tid;
    level.child.pid = level.child.tgid = pid;
    level.child.start_ns = boottime_ns();
    // If we are killed in the middle, the parent goes on where we were.
    Claim claim;
    ledger.settle_held(level.child, level.child, claim);
    thread.tid = sys::gettid();
    thread.current = &level.child;
    veto_forget(pid);
    if (call.flags & CLONE_VM)
        veto_after_vfork_in_child(level.ticket);
    else
        veto_after_fork_in_child(level.ticket);
    WalkResult result;
    if (process.wants(WATCH_MASK_CLONE)) {
        task_watch record = make_record(level.child, call.name, thread);
        record.by = creator_tid;
        record.clone_flags = call.flags;
        record.start_ns = level.child.start_ns = record.boottime_ns;
        result = deliver(thread, WATCH_TASK_CLONE, record,
                         {.need = WATCH_MASK_CLONE, .progress = claim.slot ? &claim : nullptr});
    }
    ledger.clone_told(claim);
    if (!result.stopped()) return 0;
    level.stopped_by = result.stopped_by;
    level.veto_error = errno_of_stop(result.value);
    return level.veto_error;
}

void arrive_in_vfork_child(Thread &thread, VforkLevel &level, const CreateCall &call) {
    // Stopped: let the parent go on while this process still lives, so that it can end us unseen.
    if (decide_in_vfork_child(thread, level, call, sys::getpid()) != 0) veto_make_dormant();
    unblock(thread, level);
}

long finish_vfork(Thread &thread, VforkLevel &level, const CreateCall &call, long result) {
    leave_level(thread, level);
    thread.signals_blocked = true;
    // The child opened its own mask or died before: either way this thread's is still closed.
    if (result < 0) {
        free_refused(thread, level, call, (int)-result);
    } else if (level.veto_error != 0) {
        if (call.flags & CLONE_PARENT) {
            sys::call(SYS_kill, result, SIGKILL);
        } else {
            veto_announce((pid_t)result);
            veto_end_child((pid_t)result, (int)(call.flags & 0xff), level.mask);
        }
        free_refused(thread, level, call, level.veto_error);
        result = -level.veto_error;
    } else {
        tell_rest_of_clone(thread, level, call, (pid_t)result);
    }
    unblock(thread, level);
    return result;
}

void finish_failed_spawn(Thread &thread, VforkLevel &level, const CreateCall &call) {
    leave_level(thread, level);
    thread.signals_blocked = true;
    end_on_behalf(level.child, {.call = call.name, .status = 127 << 8, .dead = level.child.pid});
    unblock(thread, level);
}

void arrive_in_suspended_child(Thread &thread, VforkLevel &level, const CreateCall &call, const Hold &verdict) {
    int stopped = decide_in_vfork_child(thread, level, call, sys::getpid());
    if (verdict && stopped) {
        verdict->stopped_by = level.stopped_by;
        verdict->child_pid.store((uint32_t)stopped, std::memory_order_release);
    }
    if (stopped) veto_make_dormant();
    if (verdict) {
        // A process of its own from here on.
        process.main = level.child;
        process.forget_other_threads();
        thread.depth = 0;
        thread.current = nullptr;
        chain.after_fork_in_child(thread.pins);
        forget_inherited_gates();
    }
    unblock(thread, level);
}

long finish_suspended_child(Thread &thread, VforkLevel &level, const CreateCall &call, const Hold &verdict, long result) {
    if (verdict && result > 0) {
        level.child.pid = level.child.tgid = (pid_t)result;
        level.veto_error = (int)verdict->child_pid.load(std::memory_order_acquire);
        level.stopped_by = verdict->stopped_by;
    }
    return_gate(verdict);
    return finish_vfork(thread, level, call, result);
}

void abandon_vfork(Thread &thread, VforkLevel &level, const CreateCall &call) {
    leave_level(thread, level);
    free_refused(thread, level, call, 0);
    unblock(thread, level);
}

}  // namespace taskwatch
