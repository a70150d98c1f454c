/* SPDX-License-Identifier: MIT */
/*
 * A child of clone with CLONE_PARENT is its creator's sibling: the record names the creator's parent as its
 * parent, and the creator as who made it.
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
    volatile pid_t *sibling = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();

    if (child == 0) {
        *sibling = clone(end, stack + sizeof stack, CLONE_PARENT, NULL);
        CHECK(*sibling > 0);
        CHECK_EQUAL(waitpid(*sibling, NULL, 0), -1);
        CHECK_EQUAL(errno, ECHILD);
        _exit(5);
    }
    CHECK_EQUAL(status_of(child), exited(5));
    CHECK_EQUAL(status_of(*sibling), exited(6));
    EXPECT_TASK(*sibling, "init clone exit free");
    CHECK_EQUAL(last_of(*sibling, WATCH_TASK_CLONE)->ppid, getpid());
    CHECK_EQUAL(last_of(*sibling, WATCH_TASK_CLONE)->parent_id, newest_id_of(child));
    CHECK_EQUAL(last_of(*sibling, WATCH_TASK_CLONE)->by, child);
    return 0;
}
