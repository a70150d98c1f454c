/* SPDX-License-Identifier: MIT */
/* A watcher that wants every event and does nothing with it: what is left is what being watched costs. */
#include <taskwatch/taskwatch.h>

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)nb, (void)action, (void)data;
    return NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    (void)nb, (void)options;
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "idle",
    .description = "wants every event and does nothing",
    .events = WATCH_MASK_ALL,
    .init = init,
    .notify = notify,
};
