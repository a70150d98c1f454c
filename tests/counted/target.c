/* SPDX-License-Identifier: MIT */
/* What is counted: target KIND TIMES. Each TIMES costs the same, so that two runs tell what one costs. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int do_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static void *nothing(void *argument)
{
    return argument;
}

static int do_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static int do_seteuid(void)
{
    return seteuid(geteuid()) == 0;
}

int main(int argc, char **argv)
{
    int (*once)(void) = do_fork;
    if (argc != 3)
        return 125;
    if (strcmp(argv[1], "thread") == 0)
        once = do_thread;
    else if (strcmp(argv[1], "seteuid") == 0)
        once = do_seteuid;
    for (int i = atoi(argv[2]); i > 0; i--)
        if (!once())
            return 1;
    return 0;
}
