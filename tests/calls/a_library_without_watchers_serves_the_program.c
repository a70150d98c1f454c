/* SPDX-License-Identifier: MIT */
/*
 * Preloaded without TASKWATCH_WATCHERS there is no session: a program's own block is told of what happens in
 * this process, cells and shared words are NULL, once is once per process. Before it registers nothing is told.
 *
 * watchers:
 */
#include "own.h"

#include "check.h"

static char seen[256];

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;

    CHECK(taskwatch_cell(task, nb) == NULL);
    CHECK(taskwatch_shared(nb, 8) == NULL);
    CHECK(task->id != 0);
    CHECK_EQUAL(task->session, 0);
    append_event(seen, sizeof seen, &(struct record){.event = (uint32_t)get_watch_event(action),
                                                     .flags = (uint32_t)get_watch_flags(action)});
    return NOTIFY_DONE;
}

static int stop(void *context, const struct task_watch *task)
{
    return (void)context, (void)task, 1;
}

int main(void)
{
    static struct notifier_block block = {.notifier_call = notify};
    pid_t child = fork();

    if (child == 0)
        _exit(1);
    CHECK_EQUAL(status_of(child), exited(1));
    CHECK(getenv("TASKWATCH_SESSION") == NULL);
    CHECK_EQUAL(register_task_watcher(&block), 0);
    child = fork();
    if (child == 0)
        _exit(2);
    CHECK_EQUAL(status_of(child), exited(2));
    CHECK_TEXT(seen, "init clone");
    CHECK_EQUAL(taskwatch_once(&block, 3), 1);
    CHECK_EQUAL(taskwatch_once(&block, 3), 0);
    CHECK_EQUAL(taskwatch_once(&block, 4), 1);
    CHECK_EQUAL(taskwatch_sweep(), 0);
    CHECK_EQUAL(taskwatch_for_each_task(stop, NULL), 0);
    CHECK_EQUAL(taskwatch_for_each_task(NULL, NULL), -EINVAL);
    CHECK_EQUAL(taskwatch_fail_session(&block), -ENOENT);
    CHECK_EQUAL(taskwatch_fail_session(NULL), -EINVAL);
    CHECK_EQUAL(unregister_task_watcher(&block), 0);
    return 0;
}
