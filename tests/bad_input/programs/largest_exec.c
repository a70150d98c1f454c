/* SPDX-License-Identifier: MIT */
/*
 * largest_exec [VARIABLES]: prints how many bytes of arguments the kernel takes with an environment of so
 * many empty variables, by trying: each try is a child whose execve() succeeds or fails. Then execs at that
 * limit itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Strings of 64 KiB and one for the rest: a single one may have 128 KiB. */
#define PIECE 65536u

static char *arguments[1024], *variables[1024];
static char text[PIECE];

static void make_arguments(unsigned bytes)
{
    unsigned count = 1;

    arguments[0] = "true";
    for (; bytes >= PIECE; bytes -= PIECE)
        arguments[count++] = text;
    arguments[count++] = text + PIECE - 1 - bytes;
    arguments[count] = NULL;
}

static int fits(unsigned bytes)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        make_arguments(bytes);
        execve("/bin/true", arguments, variables);
        _exit(errno == E2BIG ? 9 : 10);
    }
    if (waitpid(child, &status, 0) != child || (status != 0 && status != 9 << 8)) {
        printf("unexpected: %d\n", status);
        exit(1);
    }
    return status == 0;
}

int main(int argc, char **argv)
{
    unsigned low = 0, high = 8u << 20, count = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    struct rlimit stack = {4 << 20, 4 << 20}; /* a quarter of it is for arguments */

    if (setrlimit(RLIMIT_STACK, &stack) != 0)
        return 1;
    memset(text, 'a', PIECE - 1);
    for (unsigned i = 0; i < count && i < 1023; i++)
        variables[i] = "V=";
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;

        if (fits(middle))
            low = middle;
        else
            high = middle;
    }
    printf("%u\n", low);
    fflush(stdout);
    make_arguments(low);
    execve("/bin/true", arguments, variables);
    return 9;
}
