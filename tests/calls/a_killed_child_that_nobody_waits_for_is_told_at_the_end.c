/* SPDX-License-Identifier: MIT */
/*
 * Killed children that nobody waits for (ignored, left as a corpse, an orphan's) are told on behalf at the
 * latest when the session's last task ends.
 *
 * main: exec exit free
 */
#include <sys/prctl.h>

#include "check.h"

static pid_t sleeper(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    return child;
}

int main(void)
{
    siginfo_t info;
    pid_t child, parent;

    /* An orphan: its parent ends and does not wait for it, nor does anybody else. */
    parent = fork();
    if (parent == 0) {
        child = sleeper();
        kill(child, SIGKILL);
        CHECK_EQUAL(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL), 0);
        _exit(0);
    }
    CHECK_EQUAL(status_of(parent), 0);

    /* A corpse that stays. */
    child = sleeper();
    kill(child, SIGKILL);
    CHECK_EQUAL(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOWAIT, NULL), 0);

    /* One that the kernel reaps. */
    signal(SIGCHLD, SIG_IGN);
    child = sleeper();
    kill(child, SIGKILL);
    while (kill(child, 0) == 0)
        usleep(100);
    return 0;
}
