/* SPDX-License-Identifier: MIT */
/*
 * TASKWATCH_FOLLOW=0: this process is watched and no other. A forked child tells nothing of itself and its
 * parent's wait tells its end; a new image has no library and no variable of the session.
 *
 * environment: TASKWATCH_FOLLOW=0
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "case $LD_PRELOAD in *taskwatch*) exit 1;; esac; exit ${TASKWATCH_SESSION:+2}",
              (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    child = fork();
    if (child == 0) {
        if (fork() == 0)
            _exit(0);
        _exit(wait(NULL) > 0 ? 3 : 4);
    }
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    return 0;
}
