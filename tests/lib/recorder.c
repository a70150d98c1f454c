/* SPDX-License-Identifier: MIT */
/*
 * recorder: a watcher for tests. It appends each callback to a file that all processes of a session map,
 * spoils errno, and can be told to stop, to wait or to misbehave. Built more than once, under different
 * names, so that several are in a chain.
 *
 *   file=PATH       where to; it exists and has its full size
 *   wants=LIST      init clone exec uid gid exit free all, before, failed (joined by '+'): all
 *   priority=N      or "observer": 0
 *   stop=EVENT      returns `value` from callbacks of this event; value=STOP, BAD or an errno's number
 *   pause=EVENT     waits in them until the test lets it go
 *   do=ACTION, at=EVENT   kill, fork, execute or unregister in them
 *   call=NAME       only if this function made or changed the task
 *   nth=N           only in the Nth of them
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../watchers/raw.h"
#include "record.h"

#ifndef NAME
#define NAME "recorder"
#endif

#define EXPORT __attribute__((visibility("default")))

EXPORT struct taskwatch_watcher taskwatch_watcher;

static struct recording *recording;

static uint32_t mask_of(unsigned long action)
{
    switch (get_watch_event(action)) {
    case WATCH_TASK_INIT: return WATCH_MASK_INIT;
    case WATCH_TASK_CLONE: return WATCH_MASK_CLONE;
    case WATCH_TASK_EXEC: return WATCH_MASK_EXEC;
    case WATCH_TASK_UID: return WATCH_MASK_UID;
    case WATCH_TASK_GID: return WATCH_MASK_GID;
    case WATCH_TASK_EXIT: return WATCH_MASK_EXIT;
    case WATCH_TASK_FREE: return WATCH_MASK_FREE;
    }
    return 0;
}

static void copy(char *to, size_t size, const char *from)
{
    size_t n = 0;

    for (; from && from[n] && n < size - 1; n++)
        to[n] = from[n];
    to[n] = '\0';
}

/* Two counters that must come out the same wherever the callback runs. */
static uint64_t count_in(void *memory)
{
    return memory ? __atomic_add_fetch((uint64_t *)memory, 1, __ATOMIC_SEQ_CST) : 0;
}

static void append(struct notifier_block *nb, unsigned long action, const struct task_watch *task)
{
    uint32_t index = __atomic_fetch_add(&recording->count, 1, __ATOMIC_SEQ_CST);
    struct record *r = &recording->records[index];
    int cancellation = 0;

    if (index >= RECORD_CAPACITY)
        return;
    r->event = (uint32_t)get_watch_event(action);
    r->flags = (uint32_t)get_watch_flags(action);
    r->context = task->context;
    r->pid = task->pid;
    r->tgid = task->tgid;
    r->ppid = task->ppid;
    r->by = task->by;
    /* Under a seccomp filter nothing may be asked. */
    if (!(task->context & TASKWATCH_QUIET)) {
        r->tid = (int32_t)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
        r->process = (int32_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
        raw_call(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&r->blocked, sizeof r->blocked, 0, 0);
    }
    r->exit_status = task->exit_status;
    r->error = task->error;
    r->verdict = task->verdict;
    /* Asking means setting, and on foreign storage it is another thread's. */
    if (!(task->context & TASKWATCH_FOREIGN_TLS)) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
        pthread_setcancelstate(cancellation, NULL);
    }
    r->cancellation = (uint32_t)cancellation;
    r->id = task->id;
    r->parent_id = task->parent_id;
    r->session = task->session;
    r->clone_flags = task->clone_flags;
    r->cell_count = count_in(taskwatch_cell(task, nb));
    r->shared_count = count_in(taskwatch_shared(nb, TASKWATCH_SHARED_MAX));
    r->ids = task->ids;
    r->old_ids = task->old_ids;
    copy(r->call, sizeof r->call, task->call);
    copy(r->stopped_by, sizeof r->stopped_by, task->stopped_by);
    copy(r->path, sizeof r->path, task->path);
    copy(r->argv0, sizeof r->argv0, task->argv ? task->argv[0] : NULL);
    __atomic_store_n(&r->complete, 1, __ATOMIC_RELEASE);
}

static int selected(struct rule *rule, unsigned long action, const struct task_watch *task)
{
    uint32_t turn;

    if (rule->action == RULE_NONE || !(rule->events & mask_of(action)))
        return 0;
    if (rule->call[0] && strcmp(rule->call, task->call) != 0)
        return 0;
    turn = __atomic_add_fetch(&rule->matched, 1, __ATOMIC_SEQ_CST);
    return turn >= rule->first && turn <= rule->last;
}

static void wait_for_go(void)
{
    __atomic_add_fetch(&recording->paused, 1, __ATOMIC_SEQ_CST);
    raw_call(SYS_futex, (long)&recording->paused, FUTEX_WAKE, INT_MAX, 0, 0, 0);
    while (!__atomic_load_n(&recording->go, __ATOMIC_SEQ_CST))
        raw_call(SYS_futex, (long)&recording->go, FUTEX_WAIT, 0, 0, 0, 0);
}

static void create(int by_spawn)
{
    char *argv[] = {"true", NULL};
    int status = 0;
    pid_t child;

    if (by_spawn) {
        recording->answer = posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ);
    } else {
        child = fork();
        if (child == 0)
            _exit(0);
        recording->answer = child < 0 ? errno : 0;
    }
    if (recording->answer == 0)
        waitpid(child, &status, 0);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    struct rule *rule = &recording->rule;
    int value = NOTIFY_DONE;

    append(nb, action, task);
    if (selected(rule, action, task)) {
        switch (rule->action) {
        case RULE_RETURN: value = rule->value; break;
        case RULE_PAUSE: wait_for_go(); break;
        case RULE_KILL:
            raw_call(SYS_kill, raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0), SIGKILL, 0, 0, 0, 0);
            break;
        case RULE_FORK: create(0); break;
        case RULE_EXECUTE: create(1); break;
        case RULE_CRASH: *(volatile int *)(intptr_t)rule->value = 1; break;
        case RULE_UNREGISTER: recording->answer = unregister_task_watcher(nb); break;
        }
    }
    /* The program must not see it. */
    if (!(task->context & TASKWATCH_FOREIGN_TLS))
        errno = EXDEV;
    return value;
}

/* --- options */

static const struct {
    const char *name;
    uint32_t mask;
} names[] = {
    {"init", WATCH_MASK_INIT}, {"clone", WATCH_MASK_CLONE}, {"exec", WATCH_MASK_EXEC},
    {"uid", WATCH_MASK_UID}, {"gid", WATCH_MASK_GID}, {"exit", WATCH_MASK_EXIT},
    {"free", WATCH_MASK_FREE}, {"all", WATCH_MASK_ALL}, {"before", WATCH_MASK_BEFORE},
    {"failed", WATCH_MASK_FAILED},
};

static uint32_t read_mask(char *list)
{
    uint32_t mask = 0;
    char *item, *rest = list;

    while ((item = strsep(&rest, "+")) != NULL)
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strcmp(names[i].name, item) == 0)
                mask |= names[i].mask;
    return mask;
}

static int read_value(const char *value)
{
    if (strcmp(value, "STOP") == 0)
        return NOTIFY_STOP;
    if (strcmp(value, "BAD") == 0)
        return NOTIFY_BAD;
    return notifier_from_errno(-atoi(value));
}

static uint32_t read_action(const char *value)
{
    if (strcmp(value, "kill") == 0)
        return RULE_KILL;
    if (strcmp(value, "fork") == 0)
        return RULE_FORK;
    if (strcmp(value, "execute") == 0)
        return RULE_EXECUTE;
    return strcmp(value, "unregister") == 0 ? RULE_UNREGISTER : RULE_NONE;
}

static const char *map(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *memory = mmap(NULL, sizeof *recording, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        close(fd);
    if (memory == MAP_FAILED)
        return "its file cannot be mapped; give file=PATH";
    recording = memory;
    recording->record_size = sizeof(struct record);
    return NULL;
}

static const char *init(struct notifier_block *nb, char *options)
{
    struct rule rule = {.value = NOTIFY_STOP, .first = 1, .last = UINT32_MAX};
    char *key, *value;
    const char *refusal = "it needs file=PATH";

    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "file") == 0)
            refusal = map(value);
        else if (strcmp(key, "wants") == 0)
            taskwatch_watcher.events = read_mask(value);
        else if (strcmp(key, "priority") == 0)
            nb->priority = strcmp(value, "observer") == 0 ? WATCH_PRIORITY_OBSERVER : atoi(value);
        else if (strcmp(key, "stop") == 0)
            rule.action = RULE_RETURN, rule.events = read_mask(value);
        else if (strcmp(key, "pause") == 0)
            rule.action = RULE_PAUSE, rule.events = read_mask(value);
        else if (strcmp(key, "do") == 0)
            rule.action = read_action(value);
        else if (strcmp(key, "at") == 0)
            rule.events = read_mask(value);
        else if (strcmp(key, "value") == 0)
            rule.value = read_value(value);
        else if (strcmp(key, "call") == 0)
            copy(rule.call, sizeof rule.call, value);
        else if (strcmp(key, "nth") == 0)
            rule.first = rule.last = (uint32_t)atoi(value);
        else
            return "an option that it does not know";
    }
    if (refusal)
        return refusal;
    if (!__atomic_exchange_n(&recording->configured, 1, __ATOMIC_SEQ_CST))
        recording->rule = rule;
    return NULL;
}

EXPORT struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = NAME,
    .description = "writes down each callback, for tests",
    .events = WATCH_MASK_ALL,
    .init = init,
    .notify = notify,
};
