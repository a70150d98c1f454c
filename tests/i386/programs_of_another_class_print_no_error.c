/* SPDX-License-Identifier: MIT */
/*
 * A 32-bit program with the 32-bit library starts 64-bit ones in each way: they are told beforehand as those that will
 * not load it, their ends by a wait, and ld.so has nothing to print.
 *
 * main: exec exit free
 */
#include <spawn.h>

#include "check.h"

extern char **environ;

int main(void)
{
    char *argv[] = {"true", NULL};
    pid_t child = fork();

    if (child == 0) {
        execv("/bin/true", argv);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_TASK(child, "init clone exec+before exit+behalf free+behalf");
    child = vfork();
    if (child == 0) {
        execv("/bin/true", argv);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ), 0);
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(system("exit 3"), exited(3));
    CHECK(pclose(popen("true", "r")) == 0);
    no_children_left();
    return 0;
}
