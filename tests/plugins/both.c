/* SPDX-License-Identifier: MIT */
/*
 * Registers a block from its constructor and never takes it out, and has a descriptor that refuses. Its
 * code is in the chain: it must stay in memory.
 */
#include "says.h"

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)data;
    says_number(nb, 0, "both's event", (int)get_watch_event(action));
    return NOTIFY_DONE;
}

static struct notifier_block block = {.notifier_call = notify};

__attribute__((constructor)) static void constructed(void)
{
    register_task_watcher(&block);
}

static const char *init(struct notifier_block *nb, char *options)
{
    (void)nb;
    (void)options;
    return "not today; come tomorrow";
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "both",
    .events = WATCH_MASK_INIT,
    .init = init,
    .notify = notify,
};
