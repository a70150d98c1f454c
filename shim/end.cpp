// SPDX-License-Identifier: MIT
// Lifecycle: a task ends. EXIT, then FREE, once, before its parent can learn of it through a wait
// function: by the task itself, or on behalf of one that could not run code.
#include <cerrno>

#include "ledger.hpp"
#include "lifecycle.hpp"
#include "loader.hpp"

namespace taskwatch {
namespace {

void tell_end(Thread &thread, const Task &task, const char *call, int status, unsigned long flags) {
    for (unsigned long event : {(unsigned long)WATCH_TASK_EXIT, (unsigned long)WATCH_TASK_FREE}) {
        uint32_t mask = event == WATCH_TASK_EXIT ? WATCH_MASK_EXIT : WATCH_MASK_FREE;
        if (!process.wants(mask)) continue;
        task_watch record = make_record(task, call, thread);
        record.exit_status = status;
        deliver(thread, event | flags, record, {.need = mask, .honour = ~0u});
        flags &= ~WATCH_ADOPTED;
    }
}

}  // namespace

void park_if_ending() {
    pid_t ender = process.ender.load(std::memory_order_relaxed);
    if (ender == 0) [[likely]] return;
    if (ender == sys::gettid()) return;
    // Microseconds to live. A fork's child has no such thread any more, nor has a vfork child's parent.
    if (sys::getpid() != process.main.pid) return;
    for (;;) sys::call(SYS_pause);
}

void end_task(Thread &thread, Task &task, const char *call, int status, bool group) {
    if (group) {
        pid_t nobody = 0;
        if (!process.ender.compare_exchange_strong(nobody, thread.tid)) park_if_ending();
    }
    if (!ledger.claim_end(task) || task.ended) return;
    task.ended = true;
    tell_end(thread, task, call, status, take_adopted_flag(task));
    bool last = ledger.is_last(task);
    if (!thread.in_vfork_child()) {
        finish_watchers(TASKWATCH_FINI_PROCESS);
        if (last) finish_watchers(TASKWATCH_FINI_SESSION);
    }
    ledger.leave(task);
    if (last) ledger.close_session();
}

void end_on_behalf(const Task &task, int status, bool status_known, const char *call) {
    if (!ledger.claim_end(task)) return;
    Thread &thread = self();
    identify(thread);
    tell_end(thread, task, call, status, WATCH_ON_BEHALF | (status_known ? 0 : WATCH_STATUS_UNKNOWN));
    ledger.leave(task);
}

void end_reaped_child(pid_t pid, int status, const char *call) {
    Task task;
    if (ledger.find(pid, task) && task.pid == task.tgid) end_on_behalf(task, status, true, call);
}

int sweep_dead() {
    return ledger.for_each_dead([](void *, const Task &task) { end_on_behalf(task, 0, false, "sweep"); }, nullptr);
}

}  // namespace taskwatch
