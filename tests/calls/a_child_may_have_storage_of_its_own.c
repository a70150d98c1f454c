/* SPDX-License-Identifier: MIT */
/*
 * A child may be given thread-local storage that libc has not laid out, an array of zeroes as a rule (a browser's sandbox
 * does that): the genuine functions are called there and nothing else, what lies around the array stays as it is, its parent's
 * wait tells its end, and what it executes is watched.
 *
 * main: exec exit free
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "check.h"

#define BELOW 16384

/* Where our own storage would be, seen from there: what is written there would be somebody's. */
static struct {
    char below[BELOW];
    char storage[4096];
} around __attribute__((aligned(64)));
static char stack[65536] __attribute__((aligned(16)));
static char program[4096], status[] = "5";
static char *arguments[] = {program, "exit", status, NULL};

static int end(void *unused)
{
    (void)unused;
    if (chdir("/") != 0)
        _exit(1);
    _exit(7);
}

static int ask_and_end(void *unused)
{
    (void)unused;
    if (syscall(SYS_getpid) == syscall(SYS_getppid) || setgid(getegid()) != 0 || waitpid(-1, NULL, 0) != -1)
        syscall(SYS_exit_group, 1);
    syscall(SYS_exit_group, 8);
    return 0;
}

static int run(void *unused)
{
    (void)unused;
    execv(program, arguments);
    _exit(126);
}

static int leave(void *unused)
{
    (void)unused;
    return 9;
}

static void check_with(int flags)
{
    static const struct {
        int (*function)(void *);
        int status;
    } children[] = {{end, 7}, {ask_and_end, 8}, {run, 5}, {leave, 9}};

    for (unsigned i = 0; i < sizeof children / sizeof *children; i++) {
        pid_t child = clone(children[i].function, stack + sizeof stack, flags | CLONE_SETTLS | SIGCHLD, NULL, NULL,
                            around.storage);

        CHECK(child > 0);
        CHECK_EQUAL(status_of(child), exited(children[i].status));
        if (children[i].function != run)
            EXPECT_TASK(child, "init clone exit+behalf free+behalf");
        CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(children[i].status));
    }
    /* What waitpid failed with, where libc writes it; nothing else. */
    int *word = (int *)(around.storage + ((char *)&errno - (char *)pthread_self()));

    if (flags & CLONE_VM) {
        CHECK_EQUAL(*word, ECHILD);
        *word = 0;
    }
    for (int i = 0; i < BELOW; i++)
        CHECK(around.below[i] == 0);
}

int main(void)
{
    snprintf(program, sizeof program, "%s/target", getenv("TEST_BUILD"));
    check_with(CLONE_VM | CLONE_VFORK | CLONE_FS);
    check_with(CLONE_VM);
    check_with(CLONE_VFORK);
    check_with(0);
    return 0;
}
