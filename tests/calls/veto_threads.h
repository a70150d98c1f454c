/* SPDX-License-Identifier: MIT */
/*
 * pthread_create and thrd_create for the veto matrix: 0, or an errno. A thread that is made is joined at once.
 */
#ifndef TESTS_VETO_THREADS_H
#define TESTS_VETO_THREADS_H

#include <pthread.h>
#include <threads.h>

#include "veto_shells.h"

static volatile int threads_run;

static void *count_pthread(void *argument)
{
    threads_run++;
    return argument;
}

static int count_thrd(void *unused)
{
    (void)unused;
    threads_run++;
    return 3;
}

static int by_pthread(pid_t *pid)
{
    int before = threads_run, error;
    pthread_t thread;
    void *value;

    error = pthread_create(&thread, NULL, count_pthread, pid);
    if (error)
        return threads_run == before ? error : CHECK_FAILED;
    error = pthread_join(thread, &value);
    return value == pid && threads_run == before + 1 ? error : CHECK_FAILED;
}

/* Which error it was it cannot say. */
static int by_thrd(pid_t *pid)
{
    int before = threads_run, result = -1;
    thrd_t thread;

    (void)pid;
    if (thrd_create(&thread, count_thrd, NULL) != thrd_success)
        return threads_run != before ? CHECK_FAILED : kernel_refuses ? EAGAIN : STOP_ERROR;
    if (thrd_join(thread, &result) != thrd_success || result != 3 || threads_run != before + 1)
        return CHECK_FAILED;
    return 0;
}

#endif
