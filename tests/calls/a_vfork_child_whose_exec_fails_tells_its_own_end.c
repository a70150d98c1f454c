/* SPDX-License-Identifier: MIT */
/*
 * A vfork child whose exec fails sees the errno that it would see, and ends by _exit as itself. One whose
 * exec works keeps its id in the new image.
 *
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    static char *const argv[] = {"sh", "-c", "exit 4", NULL};
    volatile int error = 0;
    pid_t child = vfork();
    uint64_t id;

    if (child == 0) {
        execl("/no/such/file", "file", (char *)NULL);
        error = errno;
        _exit(127);
    }
    CHECK_EQUAL(error, ENOENT);
    CHECK_EQUAL(status_of(child), exited(127));
    EXPECT_TASK(child, "init clone exit free");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(127));

    child = vfork();
    if (child == 0) {
        execv("/bin/sh", argv);
        _exit(127);
    }
    CHECK_EQUAL(status_of(child), exited(4));
    EXPECT_TASK(child, "init clone exec exit free");
    id = last_of(child, WATCH_TASK_CLONE)->id;
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXEC)->id, id);
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXEC)->context, 0);
    no_children_left();
    return 0;
}
