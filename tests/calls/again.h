/* SPDX-License-Identifier: MIT */
/*
 * For tests of a session that is found again: a child that changes something about itself and then runs another
 * image, whose events must be the same task's.
 */
#ifndef TESTS_AGAIN_H
#define TESTS_AGAIN_H

#include <sys/resource.h>

#include "check.h"

/* "init clone exec exit free", in one session: without it the image would be met as somebody new. */
static inline void run_after(void (*change)(void *), void *argument, const char *sequence)
{
    char target[4096];
    pid_t child;

    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    child = fork();
    if (child == 0) {
        change(argument);
        execl(target, "target", "exit", "6", NULL);
        _exit(1);
    }
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, sequence);
}

static inline void limit_to(int resource, rlim_t value)
{
    struct rlimit limit = {value, value};

    CHECK_EQUAL(setrlimit(resource, &limit), 0);
}

#endif
