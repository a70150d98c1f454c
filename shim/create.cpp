// SPDX-License-Identifier: MIT
// Lifecycle: a process is made by a call that returns twice (fork, _Fork, clone). INIT in the creator,
// the child held, CLONE in the creator, then the gate opened or the child ended unseen.
#include <sched.h>

#include <csignal>

#include "clock.hpp"
#include "ledger.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "veto.hpp"

namespace taskwatch {
namespace {

void free_refused(Thread &thread, Creation &c) {
    task_watch record = make_record(c.child, c.call.name, thread);
    record.clone_flags = c.call.flags;
    record.error = c.error;
    record.stopped_by = c.verdict.stopped_by;
    free_refused(thread, c.child, record, c.serial);
}

void unblock(Thread &thread, const Creation &c) {
    thread.creating = nullptr;
    if (!c.blocked) return;
    thread.signals_blocked = false;
    sys::set_signal_mask(c.mask);
}

// A STOP that did not come through a watcher's honest number must not look like success.
void take_verdict(Creation &c, const WalkResult &result) {
    c.verdict = result;
    c.error = errno_of_stop(result.value);
}

void end_unseen(const Creation &c, pid_t child) {
    if (c.ends_itself) {
        refuse_at_gate(c.gate);
        return;
    }
    if (c.call.flags & CLONE_PARENT) {
        // Not our child: its parent reaps it and sees it end. Nothing more can be done from here.
        sys::call(SYS_kill, child, SIGKILL);
        return;
    }
    veto_announce(child);
    veto_end_child(child, c.exit_signal(), c.mask);
}

}  // namespace

void free_refused(Thread &thread, const Task &child, task_watch &record, uint64_t up_to) {
    Claim claim;
    if (!ledger.claim_end(child, identify(thread), child.pid, claim)) return;
    ledger.exit_told(claim);
    if (process.wants(WATCH_MASK_FREE) && claim.owes_free())
        deliver(thread, WATCH_TASK_FREE, record, {.need = WATCH_MASK_FREE, .up_to = up_to, .progress = &claim});
    ledger.leave(claim);
}

bool begin_creation(Thread &thread, Creation &c) {
    park_if_ending();
    // All signals, from before INIT until the child is released: a handler that jumped away would leave it held.
    if (process.wants(WATCH_MASK_INIT | WATCH_MASK_CLONE) && !process.quiet) {
        c.mask = sys::set_signal_mask(sys::all_signals);
        thread.signals_blocked = c.blocked = true;
    }
    Task &creator = identify(thread);
    c.creator = &creator;
    c.creator_tid = thread.tid;
    c.creator_tgid = creator.tgid;
    // A thread's parent is its process's, as the kernel tells it and getppid() says.
    c.child.ppid = c.call.flags & (CLONE_PARENT | CLONE_THREAD) ? creator.ppid : creator.tgid;
    if (c.call.flags & CLONE_THREAD) c.child.tgid = creator.tgid;
    ledger.enter(c.child, &creator);
    if (process.wants(WATCH_MASK_INIT)) {
        task_watch record = make_record(c.child, c.call.name, thread);
        record.clone_flags = c.call.flags;
        WalkResult result = deliver(thread, WATCH_TASK_INIT, record, {.need = WATCH_MASK_INIT});
        c.serial = result.serial;
        if (result.stopped()) {
            take_verdict(c, result);
            free_refused(thread, c);
            unblock(thread, c);
            return false;
        }
    } else {
        task_watch record = {};
        c.serial = chain.walk({.action = 0, .need = ~0u}, record, thread.pins).serial;
    }
    if (process.wants(WATCH_MASK_CLONE) && !process.quiet && !c.no_hold) c.gate = take_gate(c.creator_tgid, c.creator_tid);
    c.leave_pid = process.program_parent_handlers.load(std::memory_order_relaxed);
    c.ticket = veto_before_fork();
    thread.creating = &c;
    return true;
}

void await_thread_end(pid_t tgid, pid_t tid) {
    timespec pause = {0, 50000};
    for (int round = 0; round < 20000 && sys::call(SYS_tgkill, tgid, tid, 0) == 0; round++)
        sys::call(SYS_nanosleep, &pause, 0);
}

void release_creator(Thread &thread, Creation &c) { unblock(thread, c); }

void fail_creation(Thread &thread, Creation &c, int error) {
    return_gate(c.gate);
    c.error = error;
    free_refused(thread, c);
    unblock(thread, c);
}

void decide_creation(Thread &thread, Creation &c, pid_t pid) {
    if (c.decided) return;
    c.decided = true;
    veto_forget(pid);
    c.child.pid = pid;
    if (!(c.call.flags & CLONE_THREAD)) c.child.tgid = pid;
    c.child.start_ns = boottime_ns();
    if (!process.wants(WATCH_MASK_CLONE)) {
        ledger.settle(c.child);
        return;
    }
    // Held: if we are killed in the middle, the child takes over.
    Claim claim;
    if (c.gate)
        ledger.settle_held(c.child, *c.creator, claim);
    else
        ledger.settle(c.child);
    task_watch record = make_record(c.child, c.call.name, thread);
    record.clone_flags = c.call.flags;
    record.start_ns = c.child.start_ns = record.boottime_ns;
    if (!c.gate) record.context |= TASKWATCH_NOT_HELD;
    WalkResult result = deliver(thread, WATCH_TASK_CLONE, record,
                                {.need = WATCH_MASK_CLONE,
                                 .honour = c.gate ? 0 : ~0u,
                                 .progress = claim.slot ? &claim : nullptr});
    ledger.clone_told(claim);
    if (result.stopped()) {
        take_verdict(c, result);
        end_unseen(c, pid);
    } else if (c.gate && !c.defer_open) {
        open_gate(c.gate);
    }
}

pid_t finish_creation(Thread &thread, Creation &c, pid_t pid) {
    decide_creation(thread, c, pid);
    if (c.verdict.stopped()) {
        free_refused(thread, c);
        pid = -1;
    }
    return_gate(c.gate);
    unblock(thread, c);
    return pid;
}

// The creator is gone: what CLONE still owes on its behalf, and we run on, as we would without a watcher.
static void take_over_clone(Thread &thread, Creation &c) {
    Claim claim;
    if (!ledger.take_over_clone(c.child, c.child, claim)) {
        // A sweep has found our creator dead first and told our end: we go on as a task that nobody knew.
        if (ledger.is_ended(c.child)) process.main.pid = 0;
        return;
    }
    if (!process.wants(WATCH_MASK_CLONE)) {
        ledger.clone_told(claim);
        return;
    }
    task_watch record = make_record(c.child, c.call.name, thread);
    record.clone_flags = c.call.flags;
    record.context |= TASKWATCH_NOT_HELD;
    deliver(thread, WATCH_TASK_CLONE | WATCH_ON_BEHALF, record,
            {.need = WATCH_MASK_CLONE, .honour = ~0u, .progress = claim.slot ? &claim : nullptr});
    ledger.clone_told(claim);
}

void arrive_in_child(Thread &thread, Creation &c) {
    if (c.held) return;
    c.held = true;
    bool released = !c.gate || wait_at_gate(c.gate, c.leave_pid) != Passage::taken_over;
    veto_after_fork_in_child(c.ticket);
    thread.creating = nullptr;
    // Quiet: the child does not ask for its own pid, and is 0 in its own records.
    pid_t pid = process.quiet ? 0 : sys::getpid();
    clock_after_fork_in_child();
    c.child.pid = c.child.tgid = pid;
    if (c.child.start_ns == 0) c.child.start_ns = boottime_ns();
    thread.tid = pid;
    thread.depth = 0;
    thread.current = nullptr;
    process.forget_other_threads();
    process.main = c.child;
    // Without a gate the creator may be late: an exec would not find this task again, and adopt it a second time.
    if (!c.gate) ledger.settle(c.child);
    chain.after_fork_in_child(thread.pins);
    forget_inherited_gates();
    if (!process.config.follow) process.wanted.store(0, std::memory_order_relaxed);
    if (!released) take_over_clone(thread, c);
}

void release_child(const Creation &c) {
    if (!c.blocked) return;
    self().signals_blocked = false;
    sys::set_signal_mask(c.mask);
}

pid_t create_process(const CreateCall &call, pid_t (*genuine)(void *), void *context) {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return genuine(context);
    int &number = program_errno(thread);
    Creation creation;
    creation.call = call;
    if (!begin_creation(thread, creation)) {
        number = creation.error;
        return -1;
    }
    const int saved = number;
    // For our atfork parent handler: nonzero there means that the fork has failed.
    if (creation.leave_pid) number = 0;
    pid_t pid = genuine(context);
    if (pid == 0) {
        arrive_in_child(thread, creation);
        release_child(creation);
        number = saved;
        return 0;
    }
    int error = pid < 0 ? number : saved;
    if (pid < 0) {
        fail_creation(thread, creation, error);
    } else {
        pid = finish_creation(thread, creation, pid);
        if (pid < 0) error = creation.error;
    }
    number = error;
    return pid;
}

}  // namespace taskwatch
