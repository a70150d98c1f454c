/* SPDX-License-Identifier: MIT */
/*
 * A child of clone on its own memory that leaves its function by longjmp, back into a frame of the copied
 * stack, is a task as any other and ends when it exits there.
 *
 * main: exec exit free
 */
#include <sched.h>
#include <setjmp.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));
static jmp_buf place;

static int jump(void *unused)
{
    (void)unused;
    longjmp(place, 1);
}

int main(void)
{
    pid_t own = getpid(), child;

    if (setjmp(place) != 0) {
        CHECK(getpid() != own);
        child = fork();
        if (child == 0)
            _exit(1);
        CHECK_EQUAL(status_of(child), exited(1));
        CHECK_EQUAL(last_of(child, WATCH_TASK_CLONE)->parent_id, newest_id_of(getpid()));
        exit(7);
    }
    child = clone(jump, stack + sizeof stack, SIGCHLD, NULL);
    CHECK_EQUAL(status_of(child), exited(7));
    EXPECT_TASK(child, "init clone exit free");
    CHECK_TEXT(last_of(child, WATCH_TASK_EXIT)->call, "exit");
    return 0;
}
