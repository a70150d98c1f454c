/* SPDX-License-Identifier: MIT */
/*
 * A process that is SIGKILLed in the middle of its own EXIT or FREE callback: its parent's wait takes over,
 * with the true status, and calls the one that had begun again with AGAIN. Nothing is lost.
 *
 * watched: part
 */
#include "check.h"

int main(void)
{
    pid_t child;

    set_rule_of("recorder", RULE_KILL, WATCH_MASK_EXIT, 0);
    child = fork();
    if (child == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone exit exit+behalf+again free+behalf");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, SIGKILL);

    set_rule_of("recorder", RULE_KILL, WATCH_MASK_FREE, 0);
    child = fork();
    if (child == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone exit free free+behalf+again");

    stop_nothing();
    child = fork();
    if (child == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_TASK(child, "init clone exit free");
    return 0;
}
