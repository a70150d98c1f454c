/* SPDX-License-Identifier: MIT */
/*
 * A wait that returns because a child has stopped or goes on tells nothing; its death later does.
 *
 * main: exec exit free
 */
#include "check.h"

int main(void)
{
    siginfo_t info;
    int status;
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    CHECK_EQUAL(kill(child, SIGSTOP), 0);
    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQUAL(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    EXPECT_TASK(child, "init clone");
    CHECK_EQUAL(kill(child, SIGCONT), 0);
    CHECK_EQUAL(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    EXPECT_TASK(child, "init clone");
    CHECK_EQUAL(kill(child, SIGKILL), 0);
    CHECK_EQUAL(status_of(child), SIGKILL);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    return 0;
}
