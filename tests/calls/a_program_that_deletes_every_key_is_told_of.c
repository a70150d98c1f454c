/* SPDX-License-Identifier: MIT */
/*
 * A program that deletes keys that it did not create does not delete the one by which a thread's end is
 * told; its own keys have the numbers that they have without the library.
 *
 * main: exec exit free
 */
#include <limits.h>
#include <pthread.h>

#include "check.h"

static pid_t tid;

static void *run(void *unused)
{
    tid = gettid();
    return unused;
}

int main(void)
{
    pthread_key_t keys[3];
    pthread_t thread;

    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQUAL(pthread_key_create(&keys[i], NULL), 0);
        CHECK_EQUAL(keys[i], i);
    }
    for (unsigned i = 0; i < PTHREAD_KEYS_MAX; i++)
        CHECK_EQUAL(pthread_key_delete(i), i < 3 ? 0 : EINVAL);
    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    EXPECT_TASK(tid, "init clone exit free");
    return 0;
}
