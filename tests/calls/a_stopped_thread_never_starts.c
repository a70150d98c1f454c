/* SPDX-License-Identifier: MIT */
/*
 * A thread that is stopped, at INIT or at CLONE, runs nothing of the program: pthread_create returns the
 * number and leaves the caller's variable alone, thrd_create says nomem or error. FREE follows. So for threads
 * of each kind.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <threads.h>

#include "check.h"

static volatile int started;

static void *run(void *unused)
{
    started = 1;
    return unused;
}

static int run_thrd(void *unused)
{
    (void)unused;
    started = 1;
    return 0;
}

/* Joinable, detached, on a stack of its own, on the smallest one, with a signal mask. */
#define KINDS 5
static void set_kind(pthread_attr_t *attributes, int kind)
{
    static char stack[65536] __attribute__((aligned(4096)));
    sigset_t set;

    if (kind == 1)
        CHECK_EQUAL(pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED), 0);
    if (kind == 2)
        CHECK_EQUAL(pthread_attr_setstack(attributes, stack, sizeof stack), 0);
    if (kind == 3)
        CHECK_EQUAL(pthread_attr_setstacksize(attributes, PTHREAD_STACK_MIN), 0);
    if (kind == 4) {
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        CHECK_EQUAL(pthread_attr_setsigmask_np(attributes, &set), 0);
    }
}

static void stopped(uint32_t events, const char *sequence)
{
    pthread_attr_t attributes;
    pthread_t thread;
    thrd_t other;
    uint32_t mark;

    for (int kind = 0; kind < KINDS; kind++) {
        stop_at(events, notifier_from_errno(-EDQUOT));
        pthread_attr_init(&attributes);
        set_kind(&attributes, kind);
        memset(&thread, 0x55, sizeof thread);
        mark = events_so_far();
        errno = EDOM;
        CHECK_EQUAL(pthread_create(&thread, &attributes, run, NULL), EDQUOT);
        CHECK_EQUAL(errno, EDOM);
        CHECK_EQUAL(thread, 0x5555555555555555);
        EXPECT_SINCE(mark, sequence);
        CHECK_EQUAL(event_number(events_so_far() - 1)->error, EDQUOT);
        pthread_attr_destroy(&attributes);
    }
    mark = events_so_far();
    CHECK_EQUAL(thrd_create(&other, run_thrd, NULL), thrd_error);
    stop_at(events, notifier_from_errno(-ENOMEM));
    CHECK_EQUAL(thrd_create(&other, run_thrd, NULL), thrd_nomem);
    stop_nothing();
    CHECK_EQUAL(started, 0);
    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(started, 1);
    started = 0;
}

int main(void)
{
    for (int round = 0; round < 20; round++) {
        stopped(WATCH_MASK_INIT, "init free");
        stopped(WATCH_MASK_CLONE, "init clone free");
    }
    return 0;
}
