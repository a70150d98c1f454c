/* SPDX-License-Identifier: MIT */
/*
 * journal: the second witness of the stress test, beside trace: each callback as a record in shared memory. It makes no
 * system call to write, so a kill between two of its stores is seen as what it is: a record that is not complete.
 *
 *   file=PATH   where to; it exists and has its full size (journal.h)
 *   trust=1     uses a word of its cell, which it never wrote, as an index: a watcher that believes the session's memory
 *   linger=N    one callback in N takes a quarter of a millisecond longer: so long that killers find it there. 0: none
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <taskwatch/taskwatch.h>

#include "../../watchers/raw.h"
#include "journal.h"

static struct journal *journal;
static uint32_t capacity, linger, trust;

static uint32_t count_in(void *memory)
{
    return memory ? (uint32_t)__atomic_add_fetch((uint64_t *)memory, 1, __ATOMIC_SEQ_CST) : 0;
}

/* The twin of what this library does with each value that it reads there. */
static void believe(const void *cell)
{
    static const volatile char table[64];

    if (cell)
        (void)table[((const volatile uint64_t *)cell)[1]];
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    uint32_t index = __atomic_fetch_add(&journal->count, 1, __ATOMIC_SEQ_CST);
    struct entry *entry = &journal->entries[index];

    if (index >= capacity)
        return NOTIFY_DONE;
    entry->event = (uint32_t)get_watch_event(action);
    entry->flags = (uint32_t)get_watch_flags(action);
    entry->pid = task->pid;
    entry->tgid = task->tgid;
    entry->process = (int32_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    entry->status = task->exit_status;
    entry->error = task->error;
    entry->id = task->id;
    entry->boottime_ns = task->boottime_ns;
    entry->context = task->context;
    entry->cell = count_in(taskwatch_cell(task, nb));
    if (trust)
        believe(taskwatch_cell(task, nb));
    __atomic_store_n(&entry->state, ENTRY_BEGUN, __ATOMIC_RELEASE);
    if (linger && index * 2654435761u % linger == 0) {
        struct timespec pause = {0, 250000};

        raw_call(SYS_nanosleep, (long)&pause, 0, 0, 0, 0, 0);
    }
    __atomic_store_n(&entry->state, ENTRY_COMPLETE, __ATOMIC_RELEASE);
    return NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    char *key, *value;
    int fd = -1;

    (void)nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "file") == 0)
            fd = open(value, O_RDWR | O_CLOEXEC);
        else if (strcmp(key, "linger") == 0)
            linger = (uint32_t)atoi(value);
        else if (strcmp(key, "trust") == 0)
            trust = (uint32_t)atoi(value);
        else
            return "an option that it does not know";
    }
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    journal = size < (off_t)sizeof *journal ? MAP_FAILED
                                            : mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (journal == MAP_FAILED)
        return "its file cannot be mapped; give file=PATH";
    capacity = journal->capacity;
    return NULL;
}

__attribute__((visibility("default"))) struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "journal",
    .description = "writes each callback to shared memory, for the stress test",
    .events = WATCH_MASK_ALL,
    .init = init,
    .notify = notify,
};
