/* SPDX-License-Identifier: MIT */
/*
 * Watchers that misbehave in a callback, one a value of RUDE: what the shim must survive and the program
 * must not notice.
 */
#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "says.h"

#define STOP_FROM_FREE 1
#define POSITIVE_ERRNO 2
#define UNREGISTERS_ITSELF 3
#define FORKS 4
#define REGISTERS_TWICE 5

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
#if RUDE == STOP_FROM_FREE
    (void)nb;
    (void)data;
    return get_watch_event(action) == WATCH_TASK_FREE ? NOTIFY_STOP : NOTIFY_DONE;
#elif RUDE == POSITIVE_ERRNO
    (void)nb;
    (void)action;
    (void)data;
    return EAGAIN;
#elif RUDE == UNREGISTERS_ITSELF
    static int calls;

    (void)action;
    (void)data;
    says_number(nb, 0, "unregister:", unregister_task_watcher(nb));
    if (++calls > 1)
        says_number(nb, 1, "called again:", calls);
    return NOTIFY_DONE;
#elif RUDE == FORKS
    /* The counter is the memory's: a child that was watched would come here and count on. */
    static int depth;
    const struct task_watch *task = data;
    pid_t child;
    int status = -1;

    (void)action;
    if (task->context & TASKWATCH_IN_VFORK_CHILD)
        return NOTIFY_DONE;
    if (++depth > 1)
        says_number(nb, 0, "recursion:", depth);
    child = fork();
    if (child == 0)
        _exit(7);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 7 << 8)
        says_number(nb, 1, "fork inside the callback:", status);
    else
        says(nb, 2, "forked inside the callback");
    depth--;
    return NOTIFY_DONE;
#elif RUDE == REGISTERS_TWICE
    (void)action;
    (void)data;
    says_number(nb, 0, "registered again:", register_task_watcher(nb));
    return NOTIFY_DONE;
#else
#error "RUDE is one of the numbers above"
#endif
}

#if RUDE == FORKS
#define EVENTS (WATCH_MASK_INIT | WATCH_MASK_CLONE)
#else
#define EVENTS WATCH_MASK_ALL
#endif

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = NAME,
    .events = EVENTS,
    .notify = notify,
};
