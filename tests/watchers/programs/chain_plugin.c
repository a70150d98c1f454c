/* SPDX-License-Identifier: MIT */
/* A library that forks while the dynamic linker is opening it. */
#include <sys/wait.h>
#include <unistd.h>

__attribute__((constructor)) static void forks_when_opened(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}
