/* SPDX-License-Identifier: MIT */
/*
 * Killed children that nobody waits for (ignored, left as a corpse, an orphan's) are told on behalf at the
 * latest when the session's last task ends.
 *
 * main: exec exit free
 */
#include "../../watchers/raw.h"
#include "check.h"

static pid_t sleeper(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void await_gone(pid_t pid)
{
    while (kill(pid, 0) == 0)
        usleep(100);
}

int main(void)
{
    volatile pid_t *orphan = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    siginfo_t info;
    pid_t child, parent;

    /* An orphan: its parent does not wait for it, and init is no task of ours. */
    parent = fork();
    if (parent == 0) {
        *orphan = sleeper();
        _exit(0);
    }
    CHECK_EQUAL(status_of(parent), 0);
    kill(*orphan, SIGKILL);
    await_gone(*orphan);

    /* A corpse that stays. */
    child = sleeper();
    kill(child, SIGKILL);
    CHECK_EQUAL(raw_call(SYS_waitid, P_PID, child, (long)&info, WEXITED | WNOWAIT, 0, 0), 0);

    /* One that the kernel reaps. */
    signal(SIGCHLD, SIG_IGN);
    child = sleeper();
    kill(child, SIGKILL);
    await_gone(child);
    return 0;
}
