/* SPDX-License-Identifier: MIT */
/*
 * EXEC is told once, in the new image and before the executable's constructors, with the id that the task had;
 * path and argv are those of the new program. By all nine functions.
 *
 * main: exec exit free
 */
#include "check.h"

static char target[4096];
static char *const arguments[] = {"one", "constructor", "init clone exec", NULL};

static void by_number(int number)
{
    int fd;

    switch (number) {
    case 0: execve(target, arguments, environ); break;
    case 1: execv(target, arguments); break;
    case 2: execvp(target, arguments); break;
    case 3: execvpe(target, arguments, environ); break;
    case 4: execl(target, "one", "constructor", "init clone exec", (char *)NULL); break;
    case 5: execlp(target, "one", "constructor", "init clone exec", (char *)NULL); break;
    case 6: execle(target, "one", "constructor", "init clone exec", (char *)NULL, environ); break;
    case 7:
        fd = open(target, O_RDONLY | O_CLOEXEC);
        fexecve(fd, arguments, environ);
        break;
    case 8: execveat(AT_FDCWD, target, arguments, environ, 0); break;
    }
    _exit(126);
}

int main(void)
{
    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    for (int number = 0; number < 9; number++) {
        const struct record *exec;
        pid_t child = fork();

        if (child == 0)
            by_number(number);
        CHECK_EQUAL(status_of(child), 0);
        EXPECT_TASK(child, "init clone exec exit free");
        exec = last_of(child, WATCH_TASK_EXEC);
        CHECK_EQUAL(exec->process, child);
        CHECK_EQUAL(exec->by, child);
        CHECK_EQUAL(exec->ppid, getpid());
        CHECK_EQUAL(exec->parent_id, newest_id_of(getpid()));
        CHECK_TEXT(exec->argv0, "one");
        if (number != 7)
            CHECK(strncmp(exec->path, target, sizeof exec->path - 1) == 0);
    }
    return 0;
}
