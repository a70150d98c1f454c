/* SPDX-License-Identifier: MIT */
/*
 * While CLONE's callback runs, the new thread has run nothing of the program, no signal handler either, and
 * a cancellation of its creator waits. Afterwards it has the mask that its creator has.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static volatile int started, handled_by;
static sigset_t mask_in_thread;

static void handler(int number)
{
    (void)number;
    handled_by = gettid();
}

static void *run(void *unused)
{
    started = 1;
    pthread_sigmask(SIG_BLOCK, NULL, &mask_in_thread);
    return unused;
}

static void *create(void *unused)
{
    pthread_t thread;

    CHECK_EQUAL(pthread_create(&thread, NULL, run, unused), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    pthread_testcancel();
    return unused;
}

int main(void)
{
    pthread_t creator;
    sigset_t set;
    void *result;
    pid_t held;

    CHECK(signal(SIGUSR1, handler) != SIG_ERR);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);

    recording()->go = recording()->paused = 0;
    /* The second CLONE: the first is the creating thread's own. */
    recording()->rule = (struct rule){.action = RULE_PAUSE, .events = WATCH_MASK_CLONE, .first = 2, .last = 2};
    CHECK_EQUAL(pthread_create(&creator, NULL, create, NULL), 0);
    await_pause();
    held = event_number(events_so_far() - 1)->pid;
    CHECK_EQUAL(syscall(SYS_tgkill, getpid(), held, SIGUSR1), 0);
    CHECK_EQUAL(pthread_cancel(creator), 0);
    CHECK_EQUAL(started, 0);
    CHECK_EQUAL(handled_by, 0);
    let_go();
    CHECK_EQUAL(pthread_join(creator, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    /* pthread_join is where it took effect: the thread may still run. */
    await_event(held, WATCH_TASK_FREE);
    CHECK_EQUAL(started, 1);
    CHECK_EQUAL(handled_by, held);
    CHECK_EQUAL(sigismember(&mask_in_thread, SIGUSR2), 1);
    CHECK_EQUAL(sigismember(&mask_in_thread, SIGUSR1), 0);
    CHECK_EQUAL(sigismember(&mask_in_thread, SIGTERM), 0);
    EXPECT_TASK(held, "init clone exit free");
    return 0;
}
