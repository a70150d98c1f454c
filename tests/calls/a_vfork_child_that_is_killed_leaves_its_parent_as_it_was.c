/* SPDX-License-Identifier: MIT */
/*
 * A vfork child that dies of a signal, alone or nested below one that it kills itself, tells nothing; its
 * parent's wait tells EXIT and FREE with the true status. The parent goes on as itself. One that is killed in its CLONE's
 * callback has it told again by its parent.
 *
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    volatile pid_t inner = 0;
    pid_t child = vfork();

    if (child == 0) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    EXPECT_TASK(child, "init clone");
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, SIGKILL);
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->by, gettid());

    /* The middle level is killed by its own child: what that one left of the levels is not ours. It goes with it, in
       one call: its next instruction would run on our stack beside us, with or without the library. */
    child = vfork();
    if (child == 0) {
        setpgid(0, 0);
        inner = vfork();
        if (inner == 0)
            kill(0, SIGKILL);
        _exit(1);
    }
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");

    set_rule_once_of("recorder", RULE_KILL, WATCH_MASK_CLONE);
    child = vfork();
    if (child == 0)
        _exit(1);
    EXPECT_TASK(child, "init clone clone+behalf+again");
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone clone+behalf+again exit+behalf free+behalf");
    stop_nothing();

    child = vfork();
    if (child == 0)
        _exit(6);
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exit free");
    CHECK_EQUAL(last_of(child, WATCH_TASK_CLONE)->parent_id, newest_id_of(getpid()));
    return 0;
}
