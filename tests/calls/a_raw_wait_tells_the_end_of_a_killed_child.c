/* SPDX-License-Identifier: MIT */
/*
 * wait4 and waitid through syscall(2): EXIT and FREE of a child that could not tell them come before the call
 * returns, with its result, the child's resource usage and errno as without the library.
 *
 * main: exec exit free
 */
#include <sys/resource.h>

#include "check.h"

static pid_t killed(int signal_number)
{
    pid_t child = fork();

    if (child == 0) {
        static const struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        for (volatile int i = 0; i < 3000000; i++)
            ;
        kill(getpid(), signal_number);
        for (;;)
            pause();
    }
    return child;
}

static void check_events(pid_t child, const char *call, int status)
{
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, status);
    CHECK_TEXT(last_of(child, WATCH_TASK_EXIT)->call, call);
}

int main(void)
{
    struct rusage usage;
    siginfo_t info;
    int status;
    pid_t child;

    errno = 77;
    child = killed(SIGKILL);
    memset(&usage, 0, sizeof usage);
    CHECK_EQUAL(syscall(SYS_wait4, -1, &status, 0, &usage), child);
    CHECK_EQUAL(status, SIGKILL);
    CHECK(usage.ru_maxrss > 0);
    check_events(child, "SYS_wait4", SIGKILL);

    child = killed(SIGTERM);
    CHECK_EQUAL(syscall(SYS_wait4, child, NULL, 0, NULL), child);
    check_events(child, "SYS_wait4", SIGTERM);

    child = killed(SIGKILL);
    memset(&usage, 0, sizeof usage);
    memset(&info, 0x5a, sizeof info);
    CHECK_EQUAL(syscall(SYS_waitid, P_PID, child, &info, WEXITED, &usage), 0);
    CHECK_EQUAL(info.si_pid, child);
    CHECK_EQUAL(info.si_code, CLD_KILLED);
    CHECK_EQUAL(info.si_status, SIGKILL);
    CHECK(usage.ru_maxrss > 0);
    check_events(child, "SYS_waitid", SIGKILL);

    child = killed(SIGKILL);
    CHECK_EQUAL(syscall(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL), 0);
    check_events(child, "SYS_waitid", SIGKILL);

    /* A stop is not an end, and nothing is nothing. */
    child = killed(SIGSTOP);
    CHECK_EQUAL(syscall(SYS_wait4, child, &status, WUNTRACED, NULL), child);
    CHECK(WIFSTOPPED(status));
    EXPECT_TASK(child, "init clone");
    CHECK_EQUAL(syscall(SYS_wait4, child, &status, WNOHANG, NULL), 0);
    memset(&info, 0x5a, sizeof info);
    CHECK_EQUAL(syscall(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG, NULL), 0);
    CHECK_EQUAL(info.si_pid, 0);
    kill(child, SIGKILL);
    CHECK_EQUAL(syscall(SYS_wait4, child, &status, __WALL, NULL), child);
    check_events(child, "SYS_wait4", SIGKILL);
    CHECK_EQUAL(errno, 77);
    no_children_left();
    return 0;
}
