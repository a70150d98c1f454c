/* SPDX-License-Identifier: MIT */
/*
 * CLONE of a vfork child runs in the child, on its parent's memory, in the name of the parent's thread. The
 * memory stays shared, and the child's end is its own and not its parent's.
 *
 * main: exec exit free
 */
#include <dlfcn.h>

#include "check.h"

int main(void)
{
    static const char *const names[] = {"vfork", "__vfork"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pid_t (*function)(void) = (pid_t(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, names[i]);
        static volatile int written_by_child;
        uint32_t mark = events_so_far();
        const struct record *clone, *exit;
        pid_t child;

        written_by_child = 0;
        child = function();
        if (child == 0) {
            written_by_child = 5;
            _exit(3);
        }
        CHECK_EQUAL(written_by_child, 5);
        EXPECT_SINCE(mark, "init clone exit free");
        CHECK_EQUAL(status_of(child), exited(3));
        EXPECT_SINCE(mark, "init clone exit free");
        CHECK_TEXT(event_number(mark)->call, "vfork");
        CHECK_EQUAL(event_number(mark)->process, getpid());
        clone = event_number(mark + 1);
        CHECK_EQUAL(clone->pid, child);
        CHECK_EQUAL(clone->ppid, getpid());
        CHECK_EQUAL(clone->process, child);
        CHECK_EQUAL(clone->by, gettid());
        CHECK_EQUAL(clone->context, TASKWATCH_IN_VFORK_CHILD);
        CHECK_EQUAL(clone->clone_flags, 0x4100 | SIGCHLD);
        exit = event_number(mark + 2);
        CHECK_EQUAL(exit->process, child);
        CHECK_EQUAL(exit->exit_status, exited(3));
        CHECK(exit->context & TASKWATCH_IN_VFORK_CHILD);
    }
    no_children_left();
    return 0;
}
