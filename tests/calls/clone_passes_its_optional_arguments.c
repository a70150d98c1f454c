/* SPDX-License-Identifier: MIT */
/*
 * clone's optional arguments reach the kernel, none to three of them, as the flags ask for them: the
 * parent's and the child's word, the thread-local storage, and a pidfd.
 *
 * main: exec exit free
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));
static pid_t parent_word, child_word;

static int check_child_word(void *unused)
{
    (void)unused;
    return child_word == getpid() ? 1 : 2;
}

static int end(void *unused)
{
    (void)unused;
    return 3;
}

int main(void)
{
    int pidfd = -1;
    siginfo_t info;
    pid_t child;

    child = clone(end, stack + sizeof stack, CLONE_PARENT_SETTID | SIGCHLD, NULL, &parent_word);
    CHECK_EQUAL(parent_word, child);
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_TASK(child, "init clone exit free");

    child = clone(check_child_word, stack + sizeof stack,
                  CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &parent_word, NULL,
                  &child_word);
    CHECK_EQUAL(parent_word, child);
    CHECK_EQUAL(status_of(child), exited(1));
    EXPECT_TASK(child, "init clone exit free");
    CHECK_EQUAL(child_word, 0);

    /* The copy of our own storage, which in a copy of our memory is in order. */
    child = clone(end, stack + sizeof stack, CLONE_SETTLS | SIGCHLD, NULL, NULL, (void *)pthread_self());
    CHECK_EQUAL(status_of(child), exited(3));
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(3));

    child = clone(end, stack + sizeof stack, CLONE_PIDFD | SIGCHLD, NULL, &pidfd);
    CHECK(pidfd > STDERR_FILENO);
    CHECK_EQUAL(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    CHECK_EQUAL(info.si_pid, child);
    EXPECT_TASK(child, "init clone exit free");
    return 0;
}
