// SPDX-License-Identifier: MIT
// Exported: what taskwatch.h offers to watchers and programs (the sink's functions are in sink.cpp).
#include <taskwatch/taskwatch.h>

#include "columns.hpp"
#include "export.hpp"
#include "lifecycle.hpp"
#include "loader.hpp"
#include "process.hpp"
#include "session.hpp"
#include "true_end.hpp"

using namespace taskwatch;

EXPORT int register_task_watcher_events(notifier_block *nb, unsigned int mask) {
    if (self().in_vfork_child()) return -EBUSY;
    register_fork_handlers();
    int error = chain.add(nb, mask, loading_name(), watcher_number);
    if (error == 0) {
        session.want(chain.wanted());
        update_wanted();
    }
    return -error;
}

EXPORT int register_task_watcher(notifier_block *nb) { return register_task_watcher_events(nb, WATCH_MASK_ALL); }

EXPORT int unregister_task_watcher(notifier_block *nb) {
    if (self().in_vfork_child()) return -EBUSY;
    int error = chain.remove(nb, self().pins);
    if (error == 0) update_wanted();
    return -error;
}

namespace {

// A watcher that is being loaded has its name before its block is in the chain.
const char *name_of_block(const notifier_block *nb) {
    const char *name = chain.name_of(nb, self().pins);
    return name ? name : loading_name();
}

uint32_t mask_of(unsigned long action) {
    uint32_t mask = (action & WATCH_BEFORE ? WATCH_MASK_BEFORE : 0) | (action & WATCH_FAILED ? WATCH_MASK_FAILED : 0);
    switch (get_watch_event(action)) {
        case WATCH_TASK_INIT: return mask | WATCH_MASK_INIT;
        case WATCH_TASK_CLONE: return mask | WATCH_MASK_CLONE;
        case WATCH_TASK_EXEC: return mask | WATCH_MASK_EXEC;
        case WATCH_TASK_UID: return mask | WATCH_MASK_UID;
        case WATCH_TASK_GID: return mask | WATCH_MASK_GID;
        case WATCH_TASK_EXIT: return mask | WATCH_MASK_EXIT;
        case WATCH_TASK_FREE: return mask | WATCH_MASK_FREE;
        default: return 0;
    }
}

}  // namespace

EXPORT int notify_watchers(unsigned long val, void *v) {
    uint32_t need = mask_of(val);
    if (!need || !v) return -EINVAL;
    return deliver(self(), val, *static_cast<task_watch *>(v), {.need = need}).value;
}

EXPORT void *taskwatch_cell(const task_watch *task, const notifier_block *nb) {
    if (!task || !nb || task->id == 0) return nullptr;
    return columns.cell_of(task->id, name_of_block(nb));
}

EXPORT void *taskwatch_shared(const notifier_block *nb, size_t bytes) {
    return nb ? columns.shared(name_of_block(nb), bytes) : nullptr;
}

EXPORT int taskwatch_sweep() { return sweep_dead(); }

EXPORT uint64_t taskwatch_lost(int *error) { return session.lost(error); }

EXPORT int taskwatch_once(const notifier_block *nb, unsigned int key) {
    return key < 31 && columns.once(nb ? name_of_block(nb) : nullptr, key);
}

EXPORT int taskwatch_for_each_task(int (*visit)(void *context, const task_watch *task), void *context) {
    struct Visit {
        int (*visit)(void *, const task_watch *);
        void *context;
        int result;
    } all{visit, context, 0};
    if (!visit) return -EINVAL;
    ledger.for_each([](void *of, const Task &task) {
        auto &each = *static_cast<Visit *>(of);
        if (each.result != 0) return;
        task_watch record = {};
        record.size = sizeof record;
        record.id = task.id;
        record.parent_id = task.parent_id;
        record.pid = task.pid;
        record.tgid = task.tgid;
        record.ppid = task.ppid;
        record.start_ns = task.start_ns;
        each.result = each.visit(each.context, &record);
    }, &all);
    return all.result;
}

EXPORT int taskwatch_fail_session(const notifier_block *nb) {
    if (!nb) return -EINVAL;
    return columns.fail(name_of_block(nb)) ? 0 : -ENOENT;
}
