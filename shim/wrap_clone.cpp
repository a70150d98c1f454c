// SPDX-License-Identifier: MIT
// Exported: clone, __clone. The flags decide on whose memory the child runs and whether its creator waits:
//   neither CLONE_VM nor CLONE_VFORK    like fork: its own memory, held at a gate
//   CLONE_VFORK with CLONE_VM           like vfork, on a stack of its own
//   CLONE_VFORK alone                   its own memory, the creator suspended: CLONE on its side
//   CLONE_VM alone (threads)            the creator's memory and, without CLONE_SETTLS, its thread-local
//                                       storage too, at the same time: nothing there may be written
// A child with CLONE_SETTLS has storage that may not be laid out for us: we run nothing in it but the hold.
#include <linux/sched.h>
#include <sched.h>

#include <csignal>
#include <cstdarg>

#include "clock.hpp"
#include "export.hpp"
#include "ledger.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"

using namespace taskwatch;

namespace {

struct CloneArguments {
    int (*fn)(void *);
    void *stack;
    int flags;
    void *arg;
    pid_t *parent_tid;
    void *tls;
    pid_t *child_tid;

    long genuine(int (*start)(void *), void *on_stack, void *start_arg) const {
        int result = real::clone(start, on_stack, flags, start_arg, parent_tid, tls, child_tid);
        return result < 0 ? -errno : result;
    }
};

int raw_status(int value) { return (value & 0xff) << 8; }

// --- its own memory: the frames of the creator are copied, so that its locals can be read there

struct Start {
    const CloneArguments *arguments;
    Creation *creation;
};

int start_on_own_memory(void *p) {
    auto *start = static_cast<Start *>(p);
    const CloneArguments *a = start->arguments;
    if (a->flags & CLONE_SETTLS) {
        if (start->creation->gate) wait_at_gate(start->creation->gate, false);
        if (start->creation->blocked) sys::set_signal_mask(start->creation->mask);
        return a->fn(a->arg);
    }
    Thread &thread = self();
    arrive_in_child(thread, *start->creation);
    release_child(*start->creation);
    int value = a->fn(a->arg);
    // The genuine function ends the task with a bare SYS_exit: no handler, no _exit wrapper.
    if (wanted(mask_life)) end_task(thread, identify(thread), "clone", raw_status(value), true);
    return value;
}

long clone_own_memory(const CloneArguments &a, Thread &thread, Creation &creation) {
    Start start{&a, &creation};
    long pid = a.genuine(start_on_own_memory, a.stack, &start);
    if (pid < 0) {
        fail_creation(thread, creation, (int)-pid);
        return pid;
    }
    pid_t made = finish_creation(thread, creation, (pid_t)pid);
    return made < 0 ? -creation.error : made;
}

// --- the creator suspended: CLONE on the child's side

struct SuspendedStart {
    const CloneArguments *arguments;
    const CreateCall *call;
    VforkLevel *level;
    Hold verdict;  // where a child on its own memory leaves what its creator has to know
};

int start_while_suspended(void *p) {
    auto *start = static_cast<SuspendedStart *>(p);
    const CloneArguments *a = start->arguments;
    Thread &thread = self();
    arrive_in_suspended_child(thread, *start->level, *start->call, start->verdict);
    int value = a->fn(a->arg);
    bool own_process = (bool)start->verdict;
    if (wanted(mask_life)) end_task(thread, identify(thread), "clone", raw_status(value), own_process);
    return value;
}

long clone_suspended(const CloneArguments &a, Thread &thread, const CreateCall &call) {
    int error;
    VforkLevel *level = begin_vfork(thread, call, &error);
    if (!level) return error ? -error : a.genuine(a.fn, a.stack, a.arg);
    Hold verdict;
    if (!(a.flags & CLONE_VM)) verdict = take_gate(level->child.ppid, thread.tid);
    SuspendedStart start{&a, &call, level, verdict};
    long pid = a.genuine(start_while_suspended, a.stack, &start);
    return finish_suspended_child(thread, *level, call, verdict, pid);
}

// --- the creator's memory at the same time: a block on the child's own stack

struct alignas(16) ConcurrentStart {
    int (*fn)(void *);
    void *arg;
    Hold gate;
    sys::SignalMask mask;
    bool blocked;
    uint64_t flags;
    Task task;
};

int start_concurrently(void *p) {
    // Copied: the program may use its stack as it likes from here on.
    ConcurrentStart start = *static_cast<ConcurrentStart *>(p);
    if (start.gate && wait_at_gate(start.gate, false) == Passage::refused) sys::call(SYS_exit, 0);
    pid_t tid = sys::gettid();
    Thread *thread = start.flags & CLONE_SETTLS ? nullptr : enter_foreign_tls(tid);
    if (thread) {
        thread->task = start.task;
        thread->task.pid = tid;
        thread->task.tgid = start.flags & CLONE_THREAD ? start.task.tgid : tid;
        thread->task.start_ns = boottime_ns();
        thread->current = &thread->task;
    }
    if (start.blocked) sys::set_signal_mask(start.mask);
    int value = start.fn(start.arg);
    if (thread) {
        if (wanted(mask_life)) end_task(*thread, thread->task, "clone", raw_status(value), false);
        leave_foreign_tls(*thread);
    }
    return value;
}

long clone_concurrent(const CloneArguments &a, Thread &thread, Creation &creation) {
    auto top = (reinterpret_cast<uintptr_t>(a.stack) - sizeof(ConcurrentStart)) & ~uintptr_t{15};
    auto *start = reinterpret_cast<ConcurrentStart *>(top);
    *start = {a.fn, a.arg, creation.gate, creation.mask, creation.blocked, creation.call.flags, creation.child};
    creation.ends_itself = a.flags & CLONE_THREAD;
    long pid = a.genuine(start_concurrently, reinterpret_cast<void *>(top), start);
    if (pid < 0) {
        fail_creation(thread, creation, (int)-pid);
        return pid;
    }
    pid_t tgid = creation.creator_tgid;
    pid_t made = finish_creation(thread, creation, (pid_t)pid);
    if (made < 0 && creation.ends_itself) await_thread_end(tgid, (pid_t)pid);
    return made < 0 ? -creation.error : made;
}

long watched_clone(const CloneArguments &a, Thread &thread) {
    CreateCall call{"clone", (uint32_t)a.flags};
    if ((a.flags & CLONE_VFORK) && !(a.flags & CLONE_SETTLS) && !process.quiet)
        return clone_suspended(a, thread, call);
    Creation creation;
    creation.call = call;
    // A suspended creator cannot open a gate: its child is not held.
    creation.no_hold = a.flags & CLONE_VFORK;
    if (!begin_creation(thread, creation)) return -creation.error;
    return a.flags & CLONE_VM ? clone_concurrent(a, thread, creation) : clone_own_memory(a, thread, creation);
}

}  // namespace

EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...) noexcept {
    CloneArguments a{fn, stack, flags, arg, nullptr, nullptr, nullptr};
    // Only as many as the flags say there are.
    va_list rest;
    va_start(rest, arg);
    bool third = flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID), second = third || (flags & CLONE_SETTLS);
    if (second || (flags & (CLONE_PARENT_SETTID | CLONE_PIDFD))) a.parent_tid = va_arg(rest, pid_t *);
    if (second) a.tls = va_arg(rest, void *);
    if (third) a.child_tid = va_arg(rest, pid_t *);
    va_end(rest);
    Thread &thread = self();
    if (!fn || !stack || thread.in_callback || !wanted(mask_life)) {
        return real::clone(fn, stack, flags, arg, a.parent_tid, a.tls, a.child_tid);
    }
    int saved_errno = errno;
    long result = watched_clone(a, thread);
    errno = result < 0 ? (int)-result : saved_errno;
    return result < 0 ? -1 : (int)result;
}
extern "C" EXPORT_ALIAS(clone) int __clone(int (*)(void *), void *, int, void *, ...) noexcept;
