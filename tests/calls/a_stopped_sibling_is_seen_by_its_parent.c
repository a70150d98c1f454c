/* SPDX-License-Identifier: MIT */
/*
 * What a veto at CLONE cannot hide: a child of clone with CLONE_PARENT is not its creator's to reap. The
 * creator's call fails, and the parent sees the child die of SIGKILL.
 *
 * main: exec exit free
 */
#include <sched.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));

static int end(void *unused)
{
    (void)unused;
    return 6;
}

int main(void)
{
    int status, killed = 0, ended = 0;
    pid_t child, pid;
    uint32_t mark;

    recording()->rule = (struct rule){.action = RULE_RETURN, .events = WATCH_MASK_CLONE, .first = 1, .last = 1,
                                      .value = NOTIFY_BAD, .call = "clone"};
    child = fork();
    if (child == 0) {
        mark = events_so_far();
        CHECK_EQUAL(clone(end, stack + sizeof stack, CLONE_PARENT, NULL), -1);
        CHECK_EQUAL(errno, EPERM);
        EXPECT_SINCE(mark, "init clone free");
        _exit(5);
    }
    while ((pid = wait(&status)) > 0) {
        killed += pid != child && status == SIGKILL;
        ended += pid == child && status == exited(5);
    }
    CHECK_EQUAL(killed, 1);
    CHECK_EQUAL(ended, 1);
    return 0;
}
