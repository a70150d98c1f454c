/* SPDX-License-Identifier: MIT */
/*
 * A thread that is stopped, at INIT or at CLONE, runs nothing of the program: pthread_create returns the
 * number and leaves the caller's variable alone, thrd_create says nomem or error. FREE follows.
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

static void stopped(uint32_t events, const char *sequence)
{
    static const int detached[] = {PTHREAD_CREATE_JOINABLE, PTHREAD_CREATE_DETACHED};
    pthread_attr_t attributes;
    pthread_t thread;
    thrd_t other;
    uint32_t mark;

    for (size_t i = 0; i < 2; i++) {
        stop_at(events, notifier_from_errno(-EDQUOT));
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, detached[i]);
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
