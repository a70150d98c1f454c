/* SPDX-License-Identifier: MIT */
/* check-last.so: the last watcher of the scratch process's chain, an observer: it sees what the checked one answered. */
#include <taskwatch/taskwatch.h>

#include "event_kind.h"
#include "record.h"

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;

    (void)nb;
    check_leave(check_kind_of(action, task), task->context & TASKWATCH_IN_VFORK_CHILD, task->verdict);
    return NOTIFY_DONE;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "check-last",
    .description = "part of taskwatch --check",
    .events = WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED,
    .priority = WATCH_PRIORITY_OBSERVER,
    .notify = notify,
};
