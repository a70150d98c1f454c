/* SPDX-License-Identifier: MIT */
/*
 * `prog | true`: exit's flush of stdout meets a closed pipe and SIGPIPE ends the process. What is told is that
 * death, by the parent's wait, and not an exit with status 0.
 *
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    int out[2];
    pid_t child;

    CHECK_EQUAL(pipe(out), 0);
    child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        printf("nobody reads this");
        exit(0);
    }
    close(out[0]);
    close(out[1]);
    CHECK_EQUAL(status_of(child), SIGPIPE);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, SIGPIPE);
    return 0;
}
