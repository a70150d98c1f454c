/* SPDX-License-Identifier: MIT */
/*
 * A watcher as in 2006: no descriptor, it registers from its init function, a constructor here. It counts
 * what it is told, by event.
 */
#include <taskwatch/taskwatch.h>

int old_style_seen[8];
int old_style_registered = 1;

static int count(struct notifier_block *nb, unsigned long val, void *v)
{
    (void)nb, (void)v;
    switch (get_watch_event(val)) {
    case WATCH_TASK_EXIT: old_style_seen[6]++; break;
    case WATCH_TASK_FREE: old_style_seen[7]++; break;
    default: old_style_seen[get_watch_event(val)]++;
    }
    return NOTIFY_OK;
}

static struct notifier_block block = {.notifier_call = count};

__attribute__((constructor)) static void init(void)
{
    old_style_registered = register_task_watcher(&block);
}
