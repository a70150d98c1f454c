/* SPDX-License-Identifier: MIT */
/*
 * A thread forks while another one ends the process: the child is no part of that end, it forks, waits and exits
 * like any other.
 *
 * stdout: any
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "check.h"

static int report[2];

static void *fork_again(void *unused)
{
    for (;;) {
        pid_t child = fork(), grandchild;

        if (child < 0)
            return unused;
        if (child > 0)
            continue;
        /* Whether the other thread was in exit already cannot be seen: each one has to come through. */
        grandchild = fork();
        if (grandchild == 0)
            _exit(5);
        if (status_of(grandchild) != exited(5))
            _exit(1);
        send_byte(report[1], '.');
        exit(0);
    }
}

int main(void)
{
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (int round = 0; round < 40; round++) {
        pid_t process;
        int status;

        CHECK_EQUAL(pipe(report), 0);
        process = fork();
        if (process == 0) {
            pthread_t thread;

            CHECK_EQUAL(pthread_create(&thread, NULL, fork_again, NULL), 0);
            await_byte(report[0]);
            _exit(0);
        }
        close(report[1]);
        CHECK_EQUAL(status_of(process), 0);
        /* Until nobody has the pipe any more, and nobody is left. */
        while (await_byte(report[0]))
            ;
        close(report[0]);
        while (wait(&status) > 0)
            CHECK_EQUAL(status, 0);
        CHECK_EQUAL(errno, ECHILD);
    }
    return 0;
}
