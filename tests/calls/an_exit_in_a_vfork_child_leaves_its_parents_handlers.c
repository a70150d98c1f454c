/* SPDX-License-Identifier: MIT */
/*
 * A vfork child that calls exit instead of _exit runs its parent's handlers, as it does without the library.
 * Its own end is told, and its parent's end as well when that one exits later.
 *
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    pid_t child = fork();

    if (child == 0) {
        pid_t inner = vfork();

        if (inner == 0)
            exit(5);
        CHECK_EQUAL(status_of(inner), exited(5));
        EXPECT_TASK(inner, "init clone exit free");
        CHECK_EQUAL(last_of(inner, WATCH_TASK_EXIT)->exit_status, exited(5));
        exit(6);
    }
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exit free");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(6));
    return 0;
}
