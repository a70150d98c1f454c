/* SPDX-License-Identifier: MIT */
/*
 * In another ipc namespace the memory cannot be found: the image founds a session of its own there, and its end
 * is told in both.
 *
 * needs: root
 */
#include <sched.h>

#include "check.h"

int main(void)
{
    char own[4200], target[4096];
    const struct recording *third = recording_of("third");
    pid_t child;

    snprintf(own, sizeof own, "file=%s", test_file("third"));
    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWIPC) != 0)
            _exit(77);
        setenv("TASKWATCH_THIRD", own, 1);
        setenv("TASKWATCH_WATCHERS", "third", 1);
        execl(target, "target", "exit", "6", NULL);
        _exit(1);
    }
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(6));
    CHECK_EQUAL(third->count, 3);
    CHECK_EQUAL(third->records[0].event, WATCH_TASK_EXEC);
    CHECK_EQUAL(third->records[0].flags, WATCH_ADOPTED);
    CHECK(third->records[0].session != 0 && third->records[0].session != event_number(0)->session);
    CHECK_EQUAL(third->records[2].event, WATCH_TASK_FREE);
    return 0;
}
