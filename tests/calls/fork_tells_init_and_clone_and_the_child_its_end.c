/* SPDX-License-Identifier: MIT */
/*
 * A fork is told by INIT and CLONE in the creator, its end by EXIT and FREE in the child, all of them
 * before the parent's wait returns. Names, ids, flags and status are those of the call.
 *
 * main: exec exit free
 */
#include <dlfcn.h>

#include "check.h"

static void check_events(uint32_t mark, pid_t child, const char *call)
{
    const struct record *init = event_number(mark), *clone = event_number(mark + 1), *exit = event_number(mark + 2);

    CHECK_EQUAL(init->pid, 0);
    CHECK_EQUAL(init->tgid, 0);
    CHECK_EQUAL(init->ppid, getpid());
    CHECK_EQUAL(init->by, gettid());
    CHECK_EQUAL(init->process, getpid());
    CHECK_TEXT(init->call, call);
    CHECK_EQUAL(init->clone_flags & 0xff, SIGCHLD);
    CHECK_EQUAL(init->parent_id, newest_id_of(getpid()));
    CHECK_EQUAL(clone->pid, child);
    CHECK_EQUAL(clone->tgid, child);
    CHECK_EQUAL(clone->ppid, getpid());
    CHECK_EQUAL(clone->by, gettid());
    CHECK_EQUAL(clone->process, getpid());
    CHECK_EQUAL(clone->id, init->id);
    CHECK_EQUAL(clone->context, 0);
    CHECK_EQUAL(exit->process, child);
    CHECK_EQUAL(exit->by, child);
    CHECK_EQUAL(exit->exit_status, exited(3));
    CHECK_EQUAL(exit->parent_id, init->parent_id);
    CHECK_TEXT(exit->call, "_exit");
}

int main(void)
{
    static const char *const names[][2] = {
        {"fork", "fork"}, {"__fork", "fork"}, {"__libc_fork", "fork"}, {"_Fork", "_Fork"}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pid_t (*function)(void) = (pid_t(*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, names[i][0]);
        uint32_t mark = events_so_far();
        pid_t child = function();

        if (child == 0)
            _exit(3);
        CHECK_EQUAL(status_of(child), exited(3));
        EXPECT_SINCE(mark, "init clone exit free");
        check_events(mark, child, names[i][1]);
    }
    no_children_left();
    return 0;
}
