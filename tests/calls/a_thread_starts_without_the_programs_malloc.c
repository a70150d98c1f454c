/* SPDX-License-Identifier: MIT */
/*
 * A new thread's first call of malloc's family is the program's own, also where others had keys before the library
 * had its: a sanitizer's runtime makes its state for a thread only when that runs its first line.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static __thread int allocations;
static int at_start = -1;
static pid_t tid;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    allocations++;
    return __libc_calloc(count, size);
}

/* Before any constructor, as the sanitizers' runtimes do it. */
static void take_keys(void)
{
    pthread_key_t key;

    for (int i = 0; i < 5; i++)
        pthread_key_create(&key, NULL);
}
__attribute__((section(".preinit_array"), used)) static void (*const early)(void) = take_keys;

static void *run(void *unused)
{
    at_start = allocations;
    tid = gettid();
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_key_t key;

    CHECK_EQUAL(pthread_key_create(&key, NULL), 0);
    CHECK_EQUAL(key, 5);
    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    CHECK_EQUAL(at_start, 0);
    EXPECT_TASK(tid, "init clone exit free");
    return 0;
}
