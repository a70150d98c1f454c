/* SPDX-License-Identifier: MIT */
/*
 * TASKWATCH_DISABLE=1: no watcher is loaded, nothing is told, no session is made, the environment passes as
 * it is.
 *
 * environment: TASKWATCH_DISABLE=1
 * main:
 */
#include <sys/fsuid.h>

#include "check.h"

int main(void)
{
    char *const empty[] = {NULL};
    pid_t child = fork();

    if (child == 0) {
        execle("/bin/sh", "sh", "-c", "exit ${LD_PRELOAD:+2}${TASKWATCH_SESSION:+3}", (char *)NULL, empty);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    child = vfork();
    if (child == 0)
        _exit(4);
    CHECK_EQUAL(status_of(child), exited(4));
    CHECK_EQUAL(setfsuid(geteuid()), geteuid());
    CHECK_EQUAL(events_so_far(), 0);
    CHECK(getenv("TASKWATCH_SESSION") == NULL);
    return 0;
}
