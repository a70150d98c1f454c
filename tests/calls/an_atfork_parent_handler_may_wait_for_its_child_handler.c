/* SPDX-License-Identifier: MIT */
/*
 * A program whose atfork parent handler waits for what its child handler does: no deadlock under the hold,
 * and CLONE is still told before the child handler runs. A stop at CLONE works in such a program too.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static int from_child[2];
static int expect_child = 1;

static void in_parent(void)
{
    if (expect_child)
        CHECK_EQUAL(await_byte(from_child[0]), 'c');
}

static void in_child(void)
{
    EXPECT_TASK(getpid(), "init clone");
    send_byte(from_child[1], 'c');
}

int main(void)
{
    uint32_t mark;
    pid_t child;

    CHECK_EQUAL(pipe(from_child), 0);
    CHECK_EQUAL(pthread_atfork(NULL, in_parent, in_child), 0);
    for (int round = 0; round < 20; round++) {
        child = fork();
        if (child == 0)
            _exit(2);
        CHECK_EQUAL(status_of(child), exited(2));
        EXPECT_TASK(child, "init clone exit free");
        CHECK_EQUAL(last_of(child, WATCH_TASK_CLONE)->process, getpid());
    }
    expect_child = 0;
    mark = events_so_far();
    stop_at(WATCH_MASK_CLONE, NOTIFY_BAD);
    CHECK_EQUAL(fork(), -1);
    CHECK_EQUAL(errno, EPERM);
    EXPECT_SINCE(mark, "init clone free");
    no_children_left();
    stop_nothing();
    return 0;
}
