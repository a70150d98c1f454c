/* SPDX-License-Identifier: MIT */
/*
 * A program with more keys than libc's first block has, made by each function that makes keys before there is a thread:
 * the first 31 have the numbers that they have without the library, the one by which a thread's end is told is taken
 * when the program's first key is made, and that end is told by the thread itself.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <threads.h>

#include "check.h"

int __pthread_key_create(pthread_key_t *, void (*)(void *));

static pid_t tid;

static void *run(void *unused)
{
    tid = gettid();
    return unused;
}

static int make_key(unsigned i, unsigned *ret_key)
{
    if (i % 3 == 0)
        return pthread_key_create(ret_key, NULL);
    if (i % 3 == 1)
        return __pthread_key_create(ret_key, NULL);
    return tss_create(ret_key, NULL) == thrd_success ? 0 : EAGAIN;
}

int main(void)
{
    pthread_t thread;

    for (unsigned i = 0; i < 40; i++) {
        unsigned key;

        CHECK_EQUAL(make_key(i, &key), 0);
        CHECK_EQUAL(key, i < 31 ? i : i + 1);
    }
    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    EXPECT_TASK(tid, "init clone exit free");
    return 0;
}
