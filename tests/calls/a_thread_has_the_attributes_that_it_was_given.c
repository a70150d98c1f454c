/* SPDX-License-Identifier: MIT */
/*
 * A thread is as its creator's attributes say, although it was held: detached, on a stack of its own, on the smallest
 * one, with a signal mask; and the attributes are as they were.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static char own_stack[65536] __attribute__((aligned(4096)));

static struct seen {
    int detached;
    char *local;
    size_t stack_size;
    sigset_t mask;
    pid_t tid;
} seen;
static int done[2];

static void *run(void *unused)
{
    char here = 0;
    pthread_attr_t attributes;
    void *stack;

    (void)unused;
    CHECK_EQUAL(pthread_getattr_np(pthread_self(), &attributes), 0);
    pthread_attr_getdetachstate(&attributes, &seen.detached);
    pthread_attr_getstack(&attributes, &stack, &seen.stack_size);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_BLOCK, NULL, &seen.mask);
    seen.local = &here;
    seen.tid = gettid();
    send_byte(done[1], 'x');
    return NULL;
}

/* Returns its tid. */
static pid_t create(pthread_attr_t *attributes, int detached)
{
    pthread_attr_t before = *attributes;
    pthread_t thread;

    CHECK_EQUAL(pthread_create(&thread, attributes, run, NULL), 0);
    CHECK_EQUAL(memcmp(&before, attributes, sizeof before), 0);
    CHECK_EQUAL(await_byte(done[0]), 'x');
    if (!detached)
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
    await_event(seen.tid, WATCH_TASK_FREE);
    EXPECT_TASK(seen.tid, "init clone exit free");
    CHECK_EQUAL(seen.detached, detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    return seen.tid;
}

int main(void)
{
    pthread_attr_t attributes;
    sigset_t set;

    CHECK_EQUAL(pipe(done), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);

    pthread_attr_init(&attributes);
    create(&attributes, 0);
    CHECK_EQUAL(sigismember(&seen.mask, SIGUSR2), 1); /* its creator's */
    CHECK_EQUAL(sigismember(&seen.mask, SIGUSR1), 0);
    CHECK_EQUAL(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
    create(&attributes, 1);
    pthread_attr_destroy(&attributes);

    pthread_attr_init(&attributes);
    CHECK_EQUAL(pthread_attr_setstack(&attributes, own_stack, sizeof own_stack), 0);
    create(&attributes, 0);
    CHECK(seen.local >= own_stack && seen.local < own_stack + sizeof own_stack);
    pthread_attr_destroy(&attributes);

    pthread_attr_init(&attributes);
    CHECK_EQUAL(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN), 0);
    create(&attributes, 0);
    CHECK_EQUAL(seen.stack_size, PTHREAD_STACK_MIN);
    pthread_attr_destroy(&attributes);

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_attr_init(&attributes);
    CHECK_EQUAL(pthread_attr_setsigmask_np(&attributes, &set), 0);
    create(&attributes, 0);
    CHECK_EQUAL(sigismember(&seen.mask, SIGUSR1), 1);
    CHECK_EQUAL(sigismember(&seen.mask, SIGUSR2), 0);
    CHECK_EQUAL(sigismember(&seen.mask, SIGTERM), 0);
    pthread_attr_destroy(&attributes);
    return 0;
}
