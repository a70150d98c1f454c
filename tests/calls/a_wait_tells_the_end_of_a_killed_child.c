/* SPDX-License-Identifier: MIT */
/*
 * A child that SIGKILL has ended could not tell: EXIT and FREE are told on its behalf, with the true status,
 * before the wait function returns that shows its death; once, also when it is looked at first. All of the
 * wait functions.
 *
 * main: exec exit free
 */
#include <dlfcn.h>
#include <sys/resource.h>

#include "check.h"

static pid_t by_wait(pid_t child, int *status) { (void)child; return wait(status); }
static pid_t by_waitpid(pid_t child, int *status) { return waitpid(child, status, 0); }
static pid_t by_wait3(pid_t child, int *status) { struct rusage u; (void)child; return wait3(status, 0, &u); }
static pid_t by_wait4(pid_t child, int *status) { return wait4(child, status, 0, NULL); }
static pid_t by_alias_wait(pid_t child, int *status)
{
    (void)child;
    return ((pid_t(*)(int *))(uintptr_t)dlsym(RTLD_DEFAULT, "__wait"))(status);
}
static pid_t by_alias_waitpid(pid_t child, int *status)
{
    return ((pid_t(*)(pid_t, int *, int))(uintptr_t)dlsym(RTLD_DEFAULT, "__waitpid"))(child, status, 0);
}
static pid_t by_null(pid_t child, int *status)
{
    *status = SIGKILL;
    return waitpid(child, NULL, 0);
}
static pid_t by_waitid(pid_t child, int *status)
{
    siginfo_t info = {0};

    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WEXITED), 0);
    CHECK_EQUAL(info.si_code, CLD_KILLED);
    *status = info.si_status;
    return info.si_pid;
}
static pid_t by_waitid_null(pid_t child, int *status)
{
    *status = SIGKILL;
    return waitid(P_ALL, 0, NULL, WEXITED) == 0 ? child : -1;
}
static pid_t by_pidfd(pid_t child, int *status)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    siginfo_t info = {0};

    CHECK_EQUAL(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    close(fd);
    *status = info.si_status;
    return info.si_pid;
}
static pid_t by_wall(pid_t child, int *status) { return waitpid(child, status, __WALL); }
static pid_t by_asking(pid_t child, int *status)
{
    pid_t pid;

    while ((pid = waitpid(-1, status, WNOHANG)) == 0)
        ;
    CHECK_EQUAL(pid, child);
    return pid;
}
static pid_t by_a_look_first(pid_t child, int *status)
{
    siginfo_t info = {0};

    CHECK_EQUAL(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQUAL(info.si_pid, child);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    return waitpid(child, status, WUNTRACED | WCONTINUED);
}

int main(void)
{
    static const struct {
        pid_t (*function)(pid_t child, int *status);
        const char *call;
    } waits[] = {
        {by_wait, "wait"}, {by_waitpid, "waitpid"}, {by_wait3, "wait3"}, {by_wait4, "wait4"},
        {by_alias_wait, "wait"}, {by_alias_waitpid, "waitpid"}, {by_null, "waitpid"}, {by_waitid, "waitid"},
        {by_wall, "waitpid"}, {by_asking, "waitpid"}, {by_waitid_null, "waitid"}, {by_pidfd, "waitid"}, {by_a_look_first, "waitid"},
    };

    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        const struct record *exit;
        int status = -1;
        pid_t child = fork();

        if (child == 0)
            for (;;)
                pause();
        CHECK_EQUAL(kill(child, SIGKILL), 0);
        CHECK_EQUAL(waits[i].function(child, &status), child);
        CHECK_EQUAL(status, SIGKILL);
        EXPECT_TASK(child, "init clone exit+behalf free+behalf");
        exit = last_of(child, WATCH_TASK_EXIT);
        CHECK_EQUAL(exit->exit_status, SIGKILL);
        CHECK_EQUAL(exit->process, getpid());
        CHECK_EQUAL(exit->by, gettid());
        CHECK_EQUAL(exit->ppid, getpid());
        CHECK_TEXT(exit->call, waits[i].call);
    }
    no_children_left();
    return 0;
}
