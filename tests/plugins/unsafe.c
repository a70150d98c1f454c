/* SPDX-License-Identifier: MIT */
/*
 * Watchers that do, in a callback, what has no place there: at EVENT (or each) they do DOES, and answer ANSWER.
 * What taskwatch --check has to find.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <taskwatch/taskwatch.h>

#ifndef DOES
#define DOES (void)0
#endif
#ifndef ANSWER
#define ANSWER NOTIFY_DONE
#endif
#ifndef PRIORITY
#define PRIORITY 0
#endif

__attribute__((unused)) static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
__attribute__((unused)) static void *volatile kept;
__attribute__((unused)) static pid_t parent;

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;

    (void)nb, (void)task;
#ifdef EVENT
    if (get_watch_event(action) != EVENT || get_watch_flags(action) & (WATCH_BEFORE | WATCH_FAILED))
        return NOTIFY_DONE;
#else
    (void)action;
#endif
    DOES;
    return ANSWER;
}

static const char *init(struct notifier_block *nb, char *options)
{
    (void)nb, (void)options;
    parent = getpid();
    return NULL;
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = NAME,
    .description = "a plug-in of the tests",
    .events = WATCH_MASK_ALL,
    .priority = PRIORITY,
    .init = init,
    .notify = notify,
};
