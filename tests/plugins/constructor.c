/* SPDX-License-Identifier: MIT */
/*
 * A watcher as in 2006: no descriptor, it registers from its init function, which is a constructor here,
 * and takes itself out at its end.
 */
#include "says.h"

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)data;
    says_number(nb, 0, "constructor's event", (int)get_watch_event(action));
    return NOTIFY_DONE;
}

static struct notifier_block block = {.notifier_call = notify};

__attribute__((constructor)) static void init(void)
{
    register_task_watcher(&block);
}

__attribute__((destructor)) static void finish(void)
{
    unregister_task_watcher(&block);
}
