/* SPDX-License-Identifier: MIT */
/*
 * What the wait functions return, write and leave alone: no child, none ready, interrupted, wrong options,
 * stopped, ended, null pointers, resource usage.
 *
 * compare: bare
 */
#include <sys/resource.h>

#include "check.h"

static void handler(int number) { (void)number; }

/* `result` comes from a call that writes to `status`, so that is a pointer. */
static void show(const char *what, long result, const int *status, pid_t child)
{
    int error = errno;

    printf("%s: %s status %x%s%s\n", what, result == child ? "child" : result < 0 ? "failed" : "0", *status,
           result < 0 ? " " : "", result < 0 ? strerrorname_np(error) : "");
    errno = 0;
}

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
    struct sigaction action = {.sa_handler = handler};
    struct rusage usage;
    siginfo_t info;
    int status = 0x5555, none = 0;
    pid_t child;

    setvbuf(stdout, NULL, _IONBF, 0);
    show("no child", wait(&status), &status, -2);
    show("no such child", waitpid(1, &status, 0), &status, -2);
    show("bad options", waitpid(-1, &status, 0x40), &status, -2);
    show("bad type", waitid(99, 0, &info, WEXITED), &status, -2);
    show("no options", waitid(P_ALL, 0, &info, 0), &status, -2);
    child = sleeper();
    show("none ready", waitpid(child, &status, WNOHANG), &status, child);
    memset(&info, 0x55, sizeof info);
    show("none ready, waitid", waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG), &info.si_pid, child);
    printf("si_signo %x si_code %x\n", info.si_signo, info.si_code);
    sigaction(SIGALRM, &action, NULL);
    ualarm(2000, 2000);
    show("interrupted", waitpid(child, &status, 0), &status, child);
    show("interrupted, waitid", waitid(P_PID, (id_t)child, &info, WEXITED), &status, child);
    ualarm(0, 0);
    kill(child, SIGSTOP);
    show("stopped", waitpid(child, &status, WUNTRACED), &status, child);
    kill(child, SIGKILL);
    memset(&usage, 0x55, sizeof usage);
    show("killed", wait4(child, &status, 0, &usage), &status, child);
    printf("usage %d\n", usage.ru_maxrss != 0x5555555555555555);
    child = fork();
    if (child == 0)
        exit(7);
    memset(&info, 0, sizeof info);
    show("looked at", waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), &info.si_status, 0);
    printf("pid %d signal %d code %d uid %d\n", info.si_pid == child, info.si_signo, info.si_code,
           info.si_uid == getuid());
    show("without a status", wait3(NULL, 0, NULL), &none, child);
    show("nothing left", wait3(&status, WNOHANG, NULL), &status, child);
    child = fork();
    if (child == 0)
        _exit(8);
    show("without information", waitid(P_PID, (id_t)child, NULL, WEXITED), &none, 0);
    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(9);
    show("ignored", waitpid(child, &status, 0), &status, child);
    return 0;
}
