/* SPDX-License-Identifier: MIT */
/*
 * sanitized [PROGRAM ARGUMENT..]: runs PROGRAM as its child in two ways, by fork and by posix_spawn, and
 * passes its status on. sanitized overflow: reads past the end of its heap.
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    pid_t child;
    int status = -1;

    if (argc == 2 && strcmp(argv[1], "overflow") == 0) {
        volatile char *memory = malloc(8);

        return memory[argc * 5];
    }
    if (argc < 2)
        return 4;
    child = fork();
    if (child == 0) {
        execv(argv[1], argv + 1);
        _exit(127);
    }
    if (waitpid(child, &status, 0) != child)
        return 1;
    printf("fork %d\n", status);
    fflush(stdout);
    if (posix_spawn(&child, argv[1], NULL, NULL, argv + 1, environ) != 0 ||
        waitpid(child, &status, 0) != child)
        return 2;
    printf("posix_spawn %d\n", status);
    return WEXITSTATUS(status);
}
