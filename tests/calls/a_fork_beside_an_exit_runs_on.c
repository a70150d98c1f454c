/* SPDX-License-Identifier: MIT */
/*
 * A thread is inside fork while another one ends the process: the child is no part of that end, it forks, waits and
 * exits like any other.
 */
#include <pthread.h>
#include <sched.h>

#include "check.h"

/* The fork is on its way when the other thread's EXIT is being told. */
static void prepare(void)
{
    if (getpid() != gettid())
        await_pause();
}

static void *make_a_child(void *unused)
{
    pid_t child = fork();

    if (child == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0)
            _exit(5);
        exit(status_of(grandchild) == exited(5) ? 6 : 1);
    }
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exit free");
    let_go();
    return unused;
}

int main(void)
{
    pid_t process;

    CHECK_EQUAL(pthread_atfork(prepare, NULL, NULL), 0);
    process = fork();
    if (process == 0) {
        pthread_t thread;

        pause_next(WATCH_MASK_EXIT, "_exit");
        CHECK_EQUAL(pthread_create(&thread, NULL, make_a_child, NULL), 0);
        /* In fork, or nearly: what comes later is parked, which is another test's. */
        while (last_of(getpid(), WATCH_TASK_CLONE) && events_so_far() < 6)
            sched_yield();
        _exit(3);
    }
    CHECK_EQUAL(status_of(process), exited(3));
    return 0;
}
