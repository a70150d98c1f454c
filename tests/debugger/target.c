/* SPDX-License-Identifier: MIT */
/* A program for the debugger: one vfork or one fork, from a function that a backtrace has to show. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int make_child(int by_vfork)
{
    int status = 0;
    pid_t pid = by_vfork ? vfork() : fork();

    if (pid == 0)
        _exit(5);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    return make_child(argc > 1 && strcmp(argv[1], "vfork") == 0);
}
