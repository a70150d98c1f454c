/* SPDX-License-Identifier: MIT */
/*
 * While CLONE's callback sleeps in one thread another one ends the process, by _exit or by exit. The
 * process's end is told, and the held child takes over.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "check.h"

static int by_exit;

static void *end(void *unused)
{
    (void)unused;
    await_pause();
    if (by_exit)
        exit(4);
    _exit(4);
}

int main(void)
{
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (by_exit = 0; by_exit < 2; by_exit++) {
        pid_t creator = fork(), held;

        if (creator == 0) {
            pthread_t thread;

            pause_next(WATCH_MASK_CLONE, "fork");
            CHECK_EQUAL(pthread_create(&thread, NULL, end, NULL), 0);
            if (fork() == 0)
                _exit(7);
            _exit(1);
        }
        CHECK_EQUAL(status_of(creator), exited(4));
        EXPECT_TASK(creator, "init clone exit+behalf free+behalf");
        CHECK_EQUAL(last_of(creator, WATCH_TASK_EXIT)->exit_status, exited(4));
        held = wait(NULL);
        EXPECT_TASK(held, "init clone clone+behalf+again exit free");
        recording()->paused = 0;
    }
    return 0;
}
