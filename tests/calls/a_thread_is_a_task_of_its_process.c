/* SPDX-License-Identifier: MIT */
/*
 * pthread_create and thrd_create: INIT and CLONE in the creating thread, EXIT and FREE in the thread, after the
 * program's destructors and before any of the join functions returns. Results of threads and of joins are as
 * without the library.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <threads.h>

#include "check.h"

static pid_t tid;
static pthread_key_t key;
static int destroyed;

static void destroy(void *unused)
{
    (void)unused;
    EXPECT_TASK(gettid(), "init clone");
    if (++destroyed % 4 != 0)
        pthread_setspecific(key, &key); /* again, as long as libc does this */
}

static void *run(void *argument)
{
    __atomic_store_n(&tid, gettid(), __ATOMIC_SEQ_CST);
    pthread_setspecific(key, &key);
    EXPECT_TASK(gettid(), "init clone");
    return argument;
}

static int run_thrd(void *argument)
{
    run(NULL);
    return (int)(intptr_t)argument;
}

static void check_told(void)
{
    const struct record *clone, *exit;

    EXPECT_TASK(tid, "init clone exit free");
    clone = last_of(tid, WATCH_TASK_CLONE);
    CHECK_EQUAL(clone->tgid, getpid());
    CHECK_EQUAL(clone->tid, gettid());
    CHECK_EQUAL(clone->by, gettid());
    CHECK_EQUAL(clone->parent_id, newest_id_of(getpid()));
    exit = last_of(tid, WATCH_TASK_EXIT);
    CHECK_EQUAL(exit->tid, tid);
    CHECK_EQUAL(exit->tgid, getpid());
    CHECK_EQUAL(destroyed, 4);
    destroyed = 0;
}

int main(void)
{
    struct timespec late = {.tv_sec = 4000000000};
    int value = 0;

    CHECK_EQUAL(pthread_key_create(&key, destroy), 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;
        pthread_t thread;
        int error = EBUSY;

        CHECK_EQUAL(pthread_create(&thread, NULL, run, &value), 0);
        switch (i) {
        case 0: error = pthread_join(thread, &result); break;
        case 1: while ((error = pthread_tryjoin_np(thread, &result)) == EBUSY) thrd_yield(); break;
        case 2: error = pthread_timedjoin_np(thread, &result, &late); break;
        case 3: error = pthread_clockjoin_np(thread, &result, CLOCK_MONOTONIC, &late); break;
        }
        CHECK_EQUAL(error, 0);
        CHECK(result == &value);
        check_told();
    }
    for (int i = 0; i < 2; i++) {
        thrd_t thread;
        int result = -1;

        CHECK_EQUAL(thrd_create(&thread, run_thrd, (void *)(intptr_t)(i ? -5 : 77)), thrd_success);
        CHECK_EQUAL(thrd_join(thread, i ? &result : NULL), thrd_success);
        CHECK_EQUAL(result, i ? -5 : -1);
        check_told();
    }
    return 0;
}
