/* SPDX-License-Identifier: MIT */
/*
 * busy: a watcher that takes its time, for tests. In each callback it yields, sleeps or goes on at
 * once, writes its cell and spoils errno; it stops nothing. Races that need a slow watcher show up.
 *
 *   us=N     sleeps last 0 to N microseconds, at most 1000000: 200
 *   seed=N   another sequence: 0
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <time.h>

#include <taskwatch/taskwatch.h>

#include "option.h"
#include "raw.h"

static uint64_t longest_us = 200;
static uint64_t seed;
static _Atomic uint64_t calls;

static uint64_t hash(uint64_t z)
{
    z = (z ^ z >> 33) * 0xff51afd7ed558ccdu;
    z = (z ^ z >> 33) * 0xc4ceb9fe1a85ec53u;
    return z ^ z >> 33;
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    uint64_t random = hash(seed ^ atomic_fetch_add(&calls, 1) ^ (uint64_t)task->by << 32);
    _Atomic uint64_t *cell = taskwatch_cell(task, nb);
    uint64_t us = (random >> 8) % (longest_us + 1);
    struct timespec nap = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    if (cell) {
        atomic_store(&cell[0], random);
        atomic_store(&cell[1], action);
    }
    if (!(task->context & TASKWATCH_QUIET)) {
        if (random & 1)
            raw_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        else if (random & 2)
            raw_call(SYS_nanosleep, (long)&nap, 0, 0, 0, 0, 0);
    }
    /* The library keeps it for the program. On foreign storage it belongs to a thread that runs beside us. */
    if (!(task->context & TASKWATCH_FOREIGN_TLS))
        errno = (int)(random >> 32 & 127);
    return NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    char *key, *value;

    (void)nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "us") == 0) {
            if (!option_number(value, 0, 1000000, &longest_us))
                return option_refuse(key, value, "not a number of microseconds", "0 to 1000000");
        } else if (strcmp(key, "seed") == 0) {
            if (!option_number(value, 0, UINT64_MAX, &seed))
                return option_refuse(key, value, "not a seed", "0 to 18446744073709551615");
        } else {
            return option_refuse("option", key, "unknown", "us, seed");
        }
    }
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "busy",
    .description = "takes its time in each callback, for tests",
    .events = WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED,
    .priority = 0,
    .init = init,
    .notify = notify,
};
