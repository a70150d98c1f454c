/* SPDX-License-Identifier: MIT */
/*
 * A signal that arrives while CLONE's callback runs is delivered when the child has been released: a handler
 * that jumps away leaves no child held and nothing half done. Child and parent have the mask they would have.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <setjmp.h>

#include "check.h"

static sigjmp_buf place;
static pthread_t creator;

static void jump(int number)
{
    (void)number;
    siglongjmp(place, 1);
}

static void *interrupt(void *unused)
{
    (void)unused;
    await_pause();
    pthread_kill(creator, SIGUSR1);
    let_go();
    return NULL;
}

static volatile pid_t made;

static void create(int by_vfork)
{
    made = by_vfork ? vfork() : fork();
    if (made == 0) {
        sigset_t mask;

        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        _exit(sigismember(&mask, SIGUSR1) || sigismember(&mask, SIGTERM) ? 1 : 2);
    }
}

int main(void)
{
    creator = pthread_self();
    CHECK(signal(SIGUSR1, jump) != SIG_ERR);
    for (volatile int round = 0; round < 4; round++) {
        volatile int jumped = 0;
        int status;
        pthread_t thread;
        pid_t child;

        made = 0;
        pause_next(WATCH_MASK_CLONE, round & 1 ? "vfork" : "fork");
        CHECK_EQUAL(pthread_create(&thread, NULL, interrupt, NULL), 0);
        if (sigsetjmp(place, 1) == 0)
            create(round & 1);
        else
            jumped = 1;
        CHECK_EQUAL(jumped, 1);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
        child = wait(&status);
        CHECK_EQUAL(status, exited(2));
        EXPECT_TASK(child, "init clone exit free");
    }
    CHECK(signal(SIGUSR1, SIG_DFL) != SIG_ERR);
    create(0);
    CHECK_EQUAL(status_of(made), exited(2));
    EXPECT_TASK(made, "init clone exit free");
    CHECK_EQUAL(last_of(made, WATCH_TASK_CLONE)->ppid, getpid());
    return 0;
}
