/* SPDX-License-Identifier: MIT */
/*
 * With SIGCHLD ignored, or SA_NOCLDWAIT, the kernel takes a dead child away and no wait function returns it. One that could run
 * code has told its own end; of one that was killed it is told by a sweep, or at the latest by the session's first process at its
 * end, and the status is unknown. wait() fails as without us, when the last child has ended.
 *
 * main: exec exit free
 */
#include "check.h"
#include "own.h"

static pid_t ends_by_itself(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(3);
    return child;
}

static pid_t sleeper(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    return child;
}

static void all_ways(void)
{
    pid_t exits = ends_by_itself(), killed = sleeper();
    int status = 0x1234;

    kill(killed, SIGKILL);
    /* Until there is no child any more. */
    CHECK_EQUAL(wait(&status), -1);
    CHECK_EQUAL(errno, ECHILD);
    CHECK_EQUAL(status, 0x1234);
    EXPECT_TASK(exits, "init clone exit free");
    EXPECT_TASK(killed, "init clone");
    CHECK_EQUAL(taskwatch_sweep(), 1);
    EXPECT_TASK(killed, "init clone exit+behalf+unknown free+behalf+unknown");
    CHECK_EQUAL(taskwatch_sweep(), 0);
}

static void on_child(int number) { (void)number; }

int main(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    pid_t last;

    CHECK_EQUAL(sigaction(SIGCHLD, &action, NULL), 0);
    all_ways();
    action.sa_handler = on_child;
    action.sa_flags = SA_NOCLDWAIT | SA_RESTART;
    CHECK_EQUAL(sigaction(SIGCHLD, &action, NULL), 0);
    all_ways();

    /* Nobody sweeps: the session's first process does. run.py finds no memory and nothing owed. */
    last = sleeper();
    kill(last, SIGKILL);
    CHECK_EQUAL(waitpid(last, NULL, 0), -1);
    CHECK_EQUAL(errno, ECHILD);
    return 0;
}
