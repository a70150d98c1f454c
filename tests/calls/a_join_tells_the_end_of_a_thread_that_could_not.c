/* SPDX-License-Identifier: MIT */
/*
 * A thread that ends by an instruction of its own runs no code of ours at its end: EXIT and FREE are told on its
 * behalf before the join function returns that shows it, once. All of the join functions.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <threads.h>

#include "check.h"

static pid_t tid;

static void *end_without_libc(void *unused)
{
    __atomic_store_n(&tid, gettid(), __ATOMIC_SEQ_CST);
#if defined(__x86_64__)
    __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
#elif defined(__i386__)
    __asm__ volatile("int $0x80" : : "a"(SYS_exit), "b"(0) : "memory");
#endif
    return unused;
}

static int end_too(void *unused)
{
    end_without_libc(unused);
    return 0;
}

static struct timespec soon(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    t.tv_sec += 30;
    return t;
}

static int by_join(pthread_t thread) { return pthread_join(thread, NULL); }
static int by_timed(pthread_t thread)
{
    struct timespec until = soon(CLOCK_REALTIME);
    return pthread_timedjoin_np(thread, NULL, &until);
}
static int by_clock(pthread_t thread)
{
    struct timespec until = soon(CLOCK_MONOTONIC);
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until);
}
static int by_trying(pthread_t thread)
{
    int result;

    while ((result = pthread_tryjoin_np(thread, NULL)) == EBUSY)
        ;
    return result;
}
static int by_thrd(pthread_t thread) { return thrd_join(thread, NULL) == thrd_success ? 0 : EINVAL; }

int main(void)
{
    static const struct {
        int (*function)(pthread_t thread);
        const char *call;
    } joins[] = {{by_join, "pthread_join"},
                 {by_timed, "pthread_timedjoin_np"},
                 {by_clock, "pthread_clockjoin_np"},
                 {by_trying, "pthread_tryjoin_np"},
                 {by_thrd, "thrd_join"}};

    /* Often, because the thread may begin, or end, while the join function looks at it. */
    for (size_t n = 0; n < 20 * sizeof joins / sizeof *joins; n++) {
        size_t i = n % (sizeof joins / sizeof *joins);
        pthread_t thread;

        if (joins[i].function == by_thrd)
            CHECK_EQUAL(thrd_create(&thread, end_too, NULL), thrd_success);
        else
            CHECK_EQUAL(pthread_create(&thread, NULL, end_without_libc, NULL), 0);
        CHECK_EQUAL(joins[i].function(thread), 0);
        EXPECT_TASK(tid, "init clone exit+behalf free+behalf");
        CHECK_TEXT(last_of(tid, WATCH_TASK_EXIT)->call, joins[i].call);
        CHECK_EQUAL(last_of(tid, WATCH_TASK_EXIT)->exit_status, 0);
    }
    return 0;
}
