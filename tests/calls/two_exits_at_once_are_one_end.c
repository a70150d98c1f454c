/* SPDX-License-Identifier: MIT */
/*
 * Two threads that end the process at the same moment, by exit and by exit or _exit: one EXIT, and the status
 * told is the one that the parent sees.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static pthread_barrier_t both;
static int second_by_exit;

static void *end(void *unused)
{
    (void)unused;
    pthread_barrier_wait(&both);
    if (second_by_exit)
        exit(9);
    _exit(9);
}

static void child(void)
{
    pthread_t thread;

    CHECK_EQUAL(pthread_barrier_init(&both, NULL, 2), 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, end, NULL), 0);
    pthread_barrier_wait(&both);
    exit(1);
}

int main(void)
{
    for (int round = 0; round < 200; round++) {
        int status;
        pid_t pid;

        second_by_exit = round & 1;
        pid = fork();
        if (pid == 0)
            child();
        status = status_of(pid);
        CHECK(status == exited(1) || status == exited(9));
        /* The main task's: by itself, or by the other thread on its behalf. */
        EXPECT_TASK(pid, last_of(pid, WATCH_TASK_EXIT)->flags ? "init clone exit+behalf free+behalf"
                                                              : "init clone exit free");
        CHECK_EQUAL(last_of(pid, WATCH_TASK_EXIT)->exit_status, status);
    }
    return 0;
}
