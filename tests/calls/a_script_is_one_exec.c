/* SPDX-License-Identifier: MIT */
/*
 * A script with `#!` is one exec and one EXEC, in the interpreter, whose argv it shows; the path is the
 * script's. So is a chain of two.
 *
 * main: exec exit free
 */
#include <sys/stat.h>

#include "check.h"

static void write_script(const char *name, const char *line)
{
    int fd = open(test_file(name), O_WRONLY | O_CREAT | O_EXCL, 0700);

    CHECK_EQUAL(write(fd, line, strlen(line)), (ssize_t)strlen(line));
    CHECK_EQUAL(close(fd), 0);
}

static void run(const char *name)
{
    pid_t child = fork();

    if (child == 0) {
        execl(test_file(name), name, (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), exited(5));
    EXPECT_TASK(child, "init clone exec exit free");
    CHECK_TEXT(last_of(child, WATCH_TASK_EXEC)->path, test_file(name));
    CHECK_TEXT(last_of(child, WATCH_TASK_EXEC)->argv0, "/bin/sh");
}

int main(void)
{
    char line[4200];

    write_script("script", "#!/bin/sh\nexit 5\n");
    snprintf(line, sizeof line, "#!%s\n", test_file("script"));
    write_script("script_of_script", line);
    run("script");
    run("script_of_script");
    return 0;
}
