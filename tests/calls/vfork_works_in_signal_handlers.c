/* SPDX-License-Identifier: MIT */
/*
 * vfork in a signal handler, and a handler that runs in a vfork child and vforks there.
 *
 * main: exec exit free
 */
#include "check.h"

static volatile pid_t made;
static volatile int in_child;

static void handler(int number)
{
    (void)number;
    made = vfork();
    if (made == 0)
        _exit(in_child ? 9 : 8);
    if (in_child)
        CHECK_EQUAL(status_of(made), exited(9));
}

int main(void)
{
    pid_t child;

    CHECK(signal(SIGUSR1, handler) != SIG_ERR);
    raise(SIGUSR1);
    CHECK_EQUAL(status_of(made), exited(8));
    EXPECT_TASK(made, "init clone exit free");

    child = vfork();
    if (child == 0) {
        in_child = 1;
        raise(SIGUSR1);
        _exit(7);
    }
    CHECK_EQUAL(status_of(child), exited(7));
    EXPECT_TASK(child, "init clone exit free");
    EXPECT_TASK(made, "init clone exit free");
    CHECK_EQUAL(last_of(made, WATCH_TASK_CLONE)->ppid, child);
    return 0;
}
