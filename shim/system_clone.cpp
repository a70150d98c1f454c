// SPDX-License-Identifier: MIT
//   no CLONE_VM                        like fork; with CLONE_VFORK the creator is suspended meanwhile
//   CLONE_VM and CLONE_VFORK           like vfork, on the creator's stack or on one of its own
//   CLONE_VM with a stack (threads)    the creator's memory and, without CLONE_SETTLS, its thread-local
//                                      storage, at the same time
// A child on its creator's memory or a copy of it arrives on the creator's stack, below the SystemCall; only the
// last kind needs room on the program's new one: sizeof(ConcurrentBase) and what the hold uses.
#include "system_clone.hpp"

#include <linux/sched.h>

#include <new>

#include "clock.hpp"
#include "ledger.hpp"
#include "own_storage.hpp"
#include "veto.hpp"

namespace taskwatch {
namespace {

Creation &creation_of(SystemCall &c) { return *reinterpret_cast<Creation *>(c.creation); }

SystemCall &call_of(ChildBase *base) { return *reinterpret_cast<SystemCall *>(base); }

// --- its own memory

void arrive_on_own_memory(ChildBase *base) {
    SystemCall &c = call_of(base);
    Creation &creation = creation_of(c);
    // Its storage may not be laid out for us: nothing but the hold.
    if (creation.call.flags & CLONE_SETTLS) {
        if (creation.gate) wait_at_gate(creation.gate, false);
        if (creation.blocked) sys::set_signal_mask(creation.mask);
        return;
    }
    int saved_errno = errno;
    arrive_in_child(self(), creation);
    release_child(creation);
    errno = saved_errno;
}

// --- the creator suspended

void arrive_while_suspended(ChildBase *base) {
    SystemCall &c = call_of(base);
    arrive_in_suspended_child(self(), *c.level, c.call, c.verdict);
}

// --- the creator's memory at the same time

struct alignas(16) ConcurrentBase {
    ChildBase base;
    Hold gate;
    sys::SignalMask mask;
    bool blocked;
    uint64_t flags;
    Task task;
};

void arrive_concurrently(ChildBase *base) {
    auto *start = reinterpret_cast<ConcurrentBase *>(base);
    if (start->gate) {
        if (wait_at_gate(start->gate, false) == Passage::refused) sys::call(SYS_exit, 0);
    }
    pid_t tid = sys::gettid();
    Thread *thread = start->flags & CLONE_SETTLS ? nullptr : enter_foreign_tls(tid);
    if (thread) {
        thread->task = start->task;
        thread->task.pid = tid;
        thread->task.tgid = start->flags & CLONE_THREAD ? start->task.tgid : tid;
        thread->task.start_ns = boottime_ns();
        thread->current = &thread->task;
    }
    if (start->blocked) sys::set_signal_mask(start->mask);
}

ChildBase *lay_concurrent_base(const Creation &creation, uintptr_t stack) {
    // The word at `stack` is where the child returns to.
    auto *start = reinterpret_cast<ConcurrentBase *>((stack - sizeof(ConcurrentBase)) & ~uintptr_t{15});
    *start = {.base = {.stack = 0, .arrive = arrive_concurrently},
              .gate = creation.gate,
              .mask = creation.mask,
              .blocked = creation.blocked,
              .flags = creation.call.flags,
              .task = creation.child};
    return &start->base;
}

// --- what all have in common

long conclude(SystemCall &c, long pid) {
    Thread &thread = self();
    if (c.level) return finish_suspended_child(thread, *c.level, c.call, c.verdict, pid);
    Creation &creation = creation_of(c);
    if (pid < 0) {
        fail_creation(thread, creation, (int)-pid);
        return pid;
    }
    pid_t tgid = creation.creator_tgid;
    if (finish_creation(thread, creation, (pid_t)pid) >= 0) return pid;
    // The program may use the stack that it gave again at once.
    if (creation.ends_itself) await_thread_end(tgid, (pid_t)pid);
    return -creation.error;
}

// On the creator's stack, of which the child has a copy: C can make the call and return twice.
Next make_here(SystemCall &c) {
    long pid = c.make();
    if (pid == 0)
        c.base.arrive(&c.base);
    else
        pid = conclude(c, pid);
    c.result = pid;
    return Next::done;
}

// A child that returns to the program on the creator's stack or on another one comes back through assembly.
#if defined(__x86_64__)
constexpr bool can_return_elsewhere = true;
#else
constexpr bool can_return_elsewhere = false;
#endif

Next begin_suspended(SystemCall &c, Thread &thread, const CloneRequest &request) {
    bool shared = request.flags & CLONE_VM;
    int error;
    c.level = begin_vfork(thread, c.call, &error);
    if (!c.level) {
        c.result = -error;
        if (error) return Next::done;
        return shared && !request.stack ? Next::vfork_unwatched : Next::forward;
    }
    if (!shared) c.verdict = take_gate(c.level->child.ppid, thread.tid);
    c.base.arrive = arrive_while_suspended;
    c.child_base = &c.base;
    if (request.stack) return Next::own_stack;
    if (!shared) return make_here(c);
    // Nothing of ours survives on this stack.
    c.level->call_name = c.call.name;
    c.level->call_flags = c.call.flags;
    c.child_base = reinterpret_cast<ChildBase *>(c.level);
    return Next::vfork_watched;
}

Next begin_running(SystemCall &c, Thread &thread, const CloneRequest &request) {
    Creation &creation = *new (c.creation) Creation;
    creation.call = c.call;
    // A suspended creator cannot open a gate.
    creation.no_hold = request.flags & CLONE_VFORK;
    creation.ends_itself = request.flags & CLONE_THREAD;
    if (!begin_creation(thread, creation)) {
        c.result = -creation.error;
        return Next::done;
    }
    creation.leave_pid = false;  // a raw system call runs no atfork handlers
    c.base.arrive = arrive_on_own_memory;
    if (!request.stack) return make_here(c);
    c.child_base = request.flags & CLONE_VM ? lay_concurrent_base(creation, request.stack) : &c.base;
    return Next::own_stack;
}

}  // namespace

Next begin_system_clone(SystemCall &c, const char *name, const CloneRequest &request) {
    bool on_creators_stack = (request.flags & CLONE_VM) && !request.stack;
    bool suspended = request.flags & CLONE_VFORK;
    Next unwatched = on_creators_stack && suspended ? Next::vfork_unwatched : Next::forward;
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return unwatched;
    c.call = {name, request.flags};
    c.level = nullptr;
    c.verdict = {};
    bool needs_assembly = on_creators_stack || request.stack;
    if (needs_assembly && !can_return_elsewhere) return unwatched;
    if (suspended && !(request.flags & (CLONE_SETTLS | CLONE_THREAD)) && !process.quiet)
        return begin_suspended(c, thread, request);
    // Two on one stack at once, or a thread-local storage of its own on it: there is nothing to hold on to.
    if (on_creators_stack) return unwatched;
    return begin_running(c, thread, request);
}

Next begin_system_clone3(SystemCall &c) {
    auto *given = reinterpret_cast<const clone_args *>(c.a[0]);
    size_t size = (size_t)c.a[1];
    // The kernel refuses these.
    if (!given || size < CLONE_ARGS_SIZE_VER0) return Next::forward;
    if (!process.quiet && (!sys::is_readable(&given->flags) || !sys::is_readable(&given->tls))) return Next::forward;
    constexpr uint64_t not_a_signal = 0x80;  // CLONE_NEWTIME, in clone(2)'s place for the exit signal
    CloneRequest request{.flags = (given->flags & ~not_a_signal) | (given->exit_signal & 0xff),
                         .stack = given->stack ? (uintptr_t)(given->stack + given->stack_size) : 0};
    return begin_system_clone(c, "SYS_clone3", request);
}

}  // namespace taskwatch

using namespace taskwatch;

#define FOR_ASSEMBLY extern "C" [[gnu::visibility("hidden")]]

FOR_ASSEMBLY void taskwatch_system_call_made(SystemCall *c) { c->result = conclude(*c, c->result); }

FOR_ASSEMBLY void taskwatch_system_vfork_child(VforkLevel *level) {
    arrive_in_vfork_child(self(), *level, {level->call_name, level->call_flags});
}

FOR_ASSEMBLY long taskwatch_system_vfork_parent(VforkLevel *level, long result) {
    return finish_vfork(self(), *level, {level->call_name, level->call_flags}, result);
}
