/* SPDX-License-Identifier: MIT */
/*
 * clone with its own memory, with the creator's, with the creator suspended or not: INIT and CLONE as for
 * fork, and the value that the child's function returns is the status of its EXIT.
 *
 * main: exec exit free
 */
#include <dlfcn.h>
#include <sched.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));
static volatile int written;

static int return_seven(void *argument)
{
    CHECK_EQUAL((long)argument, 42);
    written = 1;
    return 7;
}

static int exit_eight(void *argument)
{
    (void)argument;
    _exit(8);
}

typedef int clone_function(int (*)(void *), void *, int, void *, ...);

static void check(clone_function *function, int flags, int shared)
{
    uint32_t mark = events_so_far();
    const struct record *record;
    pid_t child;

    written = 0;
    child = function(return_seven, stack + sizeof stack, flags | SIGCHLD, (void *)42);
    CHECK(child > 0);
    CHECK_EQUAL(status_of(child), exited(7));
    CHECK_EQUAL(written, shared);
    EXPECT_SINCE(mark, "init clone exit free");
    record = event_number(mark + 1);
    CHECK_EQUAL(record->pid, child);
    CHECK_EQUAL(record->tgid, child);
    CHECK_EQUAL(record->ppid, getpid());
    CHECK_EQUAL(record->by, gettid());
    CHECK_EQUAL(record->clone_flags, flags | SIGCHLD);
    CHECK_TEXT(record->call, "clone");
    record = event_number(mark + 2);
    CHECK_EQUAL(record->exit_status, exited(7));
    CHECK_EQUAL(record->process, child);
    CHECK_EQUAL(record->pid, child);

    mark = events_so_far();
    child = function(exit_eight, stack + sizeof stack, flags | SIGCHLD, NULL);
    CHECK_EQUAL(status_of(child), exited(8));
    EXPECT_SINCE(mark, "init clone exit free");
    CHECK_EQUAL(event_number(mark + 2)->exit_status, exited(8));
}

int main(void)
{
    static const char *const names[] = {"clone", "__clone"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        clone_function *function = (clone_function *)(uintptr_t)dlsym(RTLD_DEFAULT, names[i]);

        check(function, 0, 0);
        check(function, CLONE_FILES | CLONE_FS, 0);
        check(function, CLONE_VFORK, 0);
        check(function, CLONE_VM | CLONE_VFORK, 1);
        check(function, CLONE_VM, 1);
        check(function, CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND, 1);
    }
    no_children_left();
    return 0;
}
