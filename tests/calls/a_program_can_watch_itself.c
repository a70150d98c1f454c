/* SPDX-License-Identifier: MIT */
/*
 * A program registers blocks of its own: order by priority, then by registration; stops; the errors that the
 * header names; a chain that children inherit and that vfork children cannot change; notify_watchers.
 *
 * recorder: wants=free
 * watched: part
 */
#include "own.h"

#include "check.h"

static char called[64];
static int stop_in;

static int notify(struct notifier_block *nb, unsigned long action, void *data);

static struct notifier_block first = {.notifier_call = notify, .priority = 10},
                             second = {.notifier_call = notify, .priority = 10},
                             last = {.notifier_call = notify, .priority = -1},
                             watching = {.notifier_call = notify, .priority = WATCH_PRIORITY_OBSERVER};

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    char name = nb == &first ? '1' : nb == &second ? '2' : nb == &last ? '3' : 'o';
    size_t n = strlen(called);

    CHECK_EQUAL(task->size, sizeof *task);
    if (get_watch_event(action) == WATCH_TASK_INIT && n < sizeof called - 1)
        called[n] = name;
    return stop_in == name && get_watch_event(action) == WATCH_TASK_INIT ? NOTIFY_STOP : NOTIFY_OK;
}

static const char *calls_of_a_fork(void)
{
    pid_t child;

    memset(called, 0, sizeof called);
    child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0)
        CHECK_EQUAL(status_of(child), 0);
    return called;
}

static void check_errors(void)
{
    static struct notifier_block many[WATCH_CHAIN_CAPACITY + 1], empty;
    int n = 0, error;

    CHECK_EQUAL(register_task_watcher(NULL), -EINVAL);
    CHECK_EQUAL(register_task_watcher(&empty), -EINVAL);
    CHECK_EQUAL(register_task_watcher_events(&first, 0), -EINVAL);
    CHECK_EQUAL(register_task_watcher_events(&first, WATCH_MASK_BEFORE), -EINVAL);
    CHECK_EQUAL(register_task_watcher_events(&first, WATCH_MASK_ALL | 0x80), -EINVAL);
    CHECK_EQUAL(unregister_task_watcher(NULL), -EINVAL);
    CHECK_EQUAL(unregister_task_watcher(&first), -ENOENT);
    for (error = 0; n <= WATCH_CHAIN_CAPACITY && error == 0; n += error == 0) {
        many[n].notifier_call = notify;
        error = register_task_watcher_events(&many[n], WATCH_MASK_UID);
    }
    /* One place is the recorder's. */
    CHECK_EQUAL(error, -ENOSPC);
    CHECK_EQUAL(n, WATCH_CHAIN_CAPACITY - 1);
    while (n-- > 0)
        CHECK_EQUAL(unregister_task_watcher(&many[n]), 0);
}

static void check_vfork_child(void)
{
    volatile int results[2] = {0, 0};
    static struct notifier_block new = {.notifier_call = notify};
    pid_t child = vfork();

    if (child == 0) {
        results[0] = register_task_watcher(&new);
        results[1] = unregister_task_watcher(&first);
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(results[0], -EBUSY);
    CHECK_EQUAL(results[1], -EBUSY);
}

static void check_notify(void)
{
    struct task_watch task = {.size = sizeof task, .call = "program"};

    memset(called, 0, sizeof called);
    stop_in = 0;
    CHECK_EQUAL(notify_watchers(WATCH_TASK_INIT, &task), NOTIFY_OK);
    CHECK_TEXT(called, "123o");
    CHECK_EQUAL(notify_watchers(WATCH_TASK_INIT, NULL), -EINVAL);
    CHECK_EQUAL(notify_watchers(0, &task), -EINVAL);
    CHECK_EQUAL(notify_watchers(17, &task), -EINVAL);
    stop_in = '1';
    memset(called, 0, sizeof called);
    CHECK_EQUAL(notify_watchers(WATCH_TASK_INIT, &task), NOTIFY_STOP);
    CHECK_TEXT(called, "1o");
    stop_in = 0;
}

int main(void)
{
    pid_t child;

    check_errors();
    CHECK_EQUAL(register_task_watcher(&watching), 0);
    CHECK_EQUAL(register_task_watcher(&last), 0);
    CHECK_EQUAL(register_task_watcher(&first), 0);
    CHECK_EQUAL(register_task_watcher(&second), 0);
    CHECK_EQUAL(register_task_watcher(&first), -EEXIST);
    CHECK_TEXT(calls_of_a_fork(), "123o");
    stop_in = '2';
    CHECK_TEXT(calls_of_a_fork(), "12o");
    no_children_left();
    stop_in = 0;
    check_vfork_child();
    check_notify();
    child = fork();
    if (child == 0) {
        CHECK_TEXT(calls_of_a_fork(), "123o");
        CHECK_EQUAL(unregister_task_watcher(&first), 0);
        CHECK_TEXT(calls_of_a_fork(), "23o");
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK_TEXT(calls_of_a_fork(), "123o");
    CHECK_EQUAL(unregister_task_watcher(&second), 0);
    CHECK_EQUAL(unregister_task_watcher(&second), -ENOENT);
    CHECK_TEXT(calls_of_a_fork(), "13o");
    CHECK_EQUAL(unregister_task_watcher(&first), 0);
    CHECK_EQUAL(unregister_task_watcher(&last), 0);
    CHECK_EQUAL(unregister_task_watcher(&watching), 0);
    CHECK_TEXT(calls_of_a_fork(), "");
    return 0;
}
