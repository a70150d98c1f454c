/* SPDX-License-Identifier: MIT */
/*
 * A creation that the kernel refuses (no more processes for this user): the call fails as it does without
 * the library, in its own way, INIT is followed by FREE with the kernel's error, and nobody stopped it.
 *
 * main: exec exit free
 * needs: root
 */
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <threads.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));

static int end(void *unused)
{
    (void)unused;
    return 0;
}

static void *run(void *unused)
{
    return unused;
}

static void check(uint32_t mark, const char *call)
{
    EXPECT_SINCE(mark, "init free");
    CHECK_EQUAL(event_number(mark + 1)->error, EAGAIN);
    CHECK_TEXT(event_number(mark + 1)->stopped_by, "");
    CHECK_TEXT(event_number(mark + 1)->call, call);
    CHECK_EQUAL(event_number(mark + 1)->id, event_number(mark)->id);
}

static void refused(void)
{
    static const int flags[] = {0, CLONE_VFORK, CLONE_VM | CLONE_VFORK, CLONE_VM};
    static const struct rlimit no_more = {0, 0};
    static char *const argv[] = {"true", NULL};
    pid_t pid = -7;
    int terminal = -7;
    pthread_t thread;
    thrd_t other;
    uint32_t mark;

    CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
    CHECK_EQUAL(setrlimit(RLIMIT_NPROC, &no_more), 0);
    mark = events_so_far();
    CHECK_EQUAL(fork(), -1);
    CHECK_EQUAL(errno, EAGAIN);
    check(mark, "fork");
    mark = events_so_far();
    CHECK_EQUAL(vfork(), -1);
    CHECK_EQUAL(errno, EAGAIN);
    check(mark, "vfork");
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        mark = events_so_far();
        CHECK_EQUAL(clone(end, stack + sizeof stack, flags[i] | SIGCHLD, NULL), -1);
        CHECK_EQUAL(errno, EAGAIN);
        check(mark, "clone");
    }
    mark = events_so_far();
    CHECK_EQUAL(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ), EAGAIN);
    CHECK_EQUAL(pid, -7);
    check(mark, "posix_spawn");

    errno = 0;
    mark = events_so_far();
    CHECK_EQUAL(system("true"), exited(127)); /* libc takes this for a shell that could not be started */
    check(mark, "system");
    errno = 0;
    mark = events_so_far();
    CHECK(popen("true", "r") == NULL);
    CHECK_EQUAL(errno, ENOMEM); /* whatever the kernel says */
    check(mark, "popen");
    mark = events_so_far();
    CHECK_EQUAL(forkpty(&terminal, NULL, NULL, NULL), -1);
    CHECK_EQUAL(errno, EAGAIN);
    CHECK_EQUAL(terminal, -7);
    check(mark, "forkpty");
    mark = events_so_far();
    CHECK_EQUAL(daemon(1, 1), -1);
    CHECK_EQUAL(errno, EAGAIN);
    check(mark, "daemon");

    mark = events_so_far();
    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), EAGAIN);
    check(mark, "pthread_create");
    mark = events_so_far();
    CHECK_EQUAL(thrd_create(&other, end, NULL), thrd_error);
    check(mark, "thrd_create");

    mark = events_so_far();
    CHECK_EQUAL(syscall(SYS_fork, 0L), -1);
    CHECK_EQUAL(errno, EAGAIN);
    check(mark, "SYS_fork");
    no_children_left();
    _exit(0);
}

int main(void)
{
    pid_t child = fork();

    if (child == 0)
        refused();
    CHECK_EQUAL(status_of(child), 0);
    return 0;
}
