/* SPDX-License-Identifier: MIT */
/*
 * limit: at most so many living tasks in the session.
 *
 *   tasks=N       1 to 1000000, required. Processes and threads that were made under watch and have not
 *                 ended; the session's first task and adopted ones do not count
 *   error=ERRNO   what a creation over the limit fails with: EAGAIN
 *
 * The count is the session's. A task's cell says whether it was counted, because a watcher can see a
 * FREE of a task whose INIT another one hid from it. Without session memory each process counts what it
 * makes itself, in a table of its own.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>

#include <taskwatch/taskwatch.h>

#include "option.h"
#include "raw.h"
#include "start_page.h"

enum { SAY_REFUSED, SAY_ALONE }; /* keys of taskwatch_once() */

static START_PAGE unsigned limit;
static START_PAGE int error;
static START_PAGE struct taskwatch_sink standard_error;

/* --- counting */

/* One up, unless that would be more than `limit`. */
static bool take_place(atomic_uint *living)
{
    unsigned now = atomic_load(living);

    while (now < limit)
        if (atomic_compare_exchange_weak(living, &now, now + 1))
            return true;
    return false;
}

/* One down, never below 0: others can write to the session's memory. */
static void give_place_back(atomic_uint *living)
{
    unsigned now = atomic_load(living);

    while (now > 0 && !atomic_compare_exchange_weak(living, &now, now - 1))
        ;
}

/* --- without a session */

/* More than these are not counted. */
#define ALONE_MAX 1024

static struct {
    _Atomic pid_t owner; /* whose table this is: a forked child begins with an empty one */
    atomic_uint living;
    struct {
        _Atomic uint64_t id; /* 0: free */
        _Atomic pid_t pid;   /* 0: not known yet */
    } tasks[ALONE_MAX];
} alone;

static int find_alone(uint64_t id)
{
    for (int i = 0; i < ALONE_MAX; i++)
        if (atomic_load(&alone.tasks[i].id) == id)
            return i;
    return -1;
}

static void own_table(const struct task_watch *task)
{
    pid_t creator = task->tgid ? task->tgid : task->ppid;
    pid_t owner = atomic_load(&alone.owner);

    if (owner == creator || !atomic_compare_exchange_strong(&alone.owner, &owner, creator))
        return;
    for (int i = 0; i < ALONE_MAX; i++)
        atomic_store(&alone.tasks[i].id, 0);
    atomic_store(&alone.living, 0);
}

static void forget_alone(int i, uint64_t id)
{
    if (i >= 0 && atomic_compare_exchange_strong(&alone.tasks[i].id, &id, 0))
        give_place_back(&alone.living);
}

/* The ends of children are told in the children. A zombie still is a task. */
static void sweep_alone(void)
{
    for (int i = 0; i < ALONE_MAX; i++) {
        uint64_t id = atomic_load(&alone.tasks[i].id);
        pid_t pid = atomic_load(&alone.tasks[i].pid);

        if (id && pid && raw_call(SYS_kill, pid, 0, 0, 0, 0, 0) == -ESRCH)
            forget_alone(i, id);
    }
}

static bool admit_alone(const struct task_watch *task)
{
    own_table(task);
    if (!take_place(&alone.living)) {
        if (task->context & TASKWATCH_QUIET)
            return false;
        sweep_alone();
        if (!take_place(&alone.living))
            return false;
    }
    for (int i = 0; i < ALONE_MAX; i++) {
        uint64_t free = 0;

        if (!atomic_compare_exchange_strong(&alone.tasks[i].id, &free, task->id))
            continue;
        atomic_store(&alone.tasks[i].pid, 0);
        return true;
    }
    give_place_back(&alone.living);
    return true;
}

/* --- in a session */

static bool admit(struct notifier_block *nb, const struct task_watch *task, atomic_uint *living)
{
    _Atomic uint32_t *counted = taskwatch_cell(task, nb);

    if (!counted) /* could not be un-counted */
        return true;
    if (!take_place(living)) {
        if (task->context & TASKWATCH_QUIET)
            return false;
        /* Those that were killed are still counted. Their FREE comes to us before this returns. */
        taskwatch_sweep();
        if (!take_place(living))
            return false;
    }
    atomic_store(counted, 1);
    return true;
}

/* --- telling */

static void write_line(struct line *line)
{
    if (line->length > line->capacity)
        line->length = line->capacity;
    line->text[line->length - 1] = '\n';
    taskwatch_write(&standard_error, line->text, line->length);
}

static void say_refused(struct notifier_block *nb, const struct task_watch *task, unsigned living)
{
    char text[160], name[17] = "";
    struct line line = {text, sizeof text, 0};

    if (!taskwatch_once(nb, SAY_REFUSED))
        return;
    if (!(task->context & TASKWATCH_QUIET))
        raw_call(SYS_prctl, PR_GET_NAME, (long)name, 0, 0, 0, 0);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    line_text(&line, "limit: ");
    line_text(&line, task->call);
    line_text(&line, " refused: ");
    line_number(&line, living);
    line_text(&line, " tasks are alive (tasks=");
    line_number(&line, limit);
    line_text(&line, "), asked for by ");
    line_integer(&line, task->by);
    line_text(&line, " (");
    line_text(&line, name);
    line_text(&line, ")\n");
    write_line(&line);
}

static void say_alone(struct notifier_block *nb)
{
    char text[160];
    struct line line = {text, sizeof text, 0};

    if (!taskwatch_once(nb, SAY_ALONE))
        return;
    line_text(&line, "limit: no session memory: each process counts the tasks that it makes itself\n");
    write_line(&line);
}

/* --- events */

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    atomic_uint *living = taskwatch_shared(nb, sizeof *living);
    _Atomic uint32_t *counted;
    int place;

    switch (get_watch_event(action)) {
    case WATCH_TASK_INIT:
        if (!living)
            say_alone(nb);
        if (living ? admit(nb, task, living) : admit_alone(task))
            break;
        say_refused(nb, task, atomic_load(living ? living : &alone.living));
        return notifier_from_errno(-error);
    case WATCH_TASK_CLONE:
        if (!living && (place = find_alone(task->id)) >= 0)
            atomic_store(&alone.tasks[place].pid, task->pid);
        break;
    case WATCH_TASK_FREE:
        if (!living)
            forget_alone(find_alone(task->id), task->id);
        else if ((counted = taskwatch_cell(task, nb)) != NULL && atomic_exchange(counted, 0) == 1)
            give_place_back(living);
        break;
    }
    return NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    uint64_t number = 0;
    char *key, *value;

    (void)nb;
    error = EAGAIN;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "tasks") == 0) {
            if (!option_number(value, 1, 1000000, &number))
                return option_refuse(key, value, "not a number of tasks", "1 to 1000000");
        } else if (strcmp(key, "error") == 0) {
            if ((error = option_errno(value)) == 0)
                return option_refuse(key, value, "not an error", "a name like EAGAIN, 1 to 4095");
        } else {
            return option_refuse("option", key, "unknown", "tasks, error");
        }
    }
    if (number == 0)
        return option_refuse("tasks", "", "no number of tasks", "tasks=1 to tasks=1000000");
    limit = (unsigned)number;
    taskwatch_sink_init(&standard_error, NULL, 0);
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "limit",
    .description = "refuses new tasks while tasks=N are alive in the session",
    .events = WATCH_MASK_INIT | WATCH_MASK_CLONE | WATCH_MASK_FREE,
    .priority = 0,
    .init = init,
    .notify = notify,
};
