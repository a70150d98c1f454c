/* SPDX-License-Identifier: MIT */
/* A descriptor that is all zero in the file and filled in by a constructor, as a C++ watcher's may be. */
#include "says.h"

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)data;
    says_number(nb, 0, "event", (int)get_watch_event(action));
    return NOTIFY_DONE;
}

struct taskwatch_watcher taskwatch_watcher;

__attribute__((constructor)) static void constructed(void)
{
    taskwatch_watcher.abi_version = TASKWATCH_ABI_VERSION;
    taskwatch_watcher.size = sizeof taskwatch_watcher;
    taskwatch_watcher.name = "filled_late";
    taskwatch_watcher.events = WATCH_MASK_INIT;
    taskwatch_watcher.notify = notify;
}
