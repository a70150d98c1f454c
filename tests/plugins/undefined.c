/* SPDX-License-Identifier: MIT */
/* Calls a function that nobody has. */
#include "says.h"

int no_such_function(void);

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)nb;
    (void)action;
    (void)data;
    return no_such_function();
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "undefined",
    .events = WATCH_MASK_INIT,
    .notify = notify,
};
