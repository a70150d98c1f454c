/* SPDX-License-Identifier: MIT */
/*
 * Children in a new pid namespace, by clone, by syscall, and by unshare and fork: at CLONE their pid is the one that the
 * creating call returns, at their end what they see themselves, and `id` is the same. A program that is executed there
 * is adopted, and to its creator the child ends when a wait says so. Nothing there takes those outside for dead.
 *
 *
 * needs: root
 * main: exec exit free
 */
#include <linux/sched.h>
#include <sched.h>

#include "check.h"
#include "own.h"

static char stack[65536] __attribute__((aligned(16)));

static int execs;

static int live(void *unused)
{
    char path[4096];

    (void)unused;
    CHECK_EQUAL(getpid(), 1);
    taskwatch_sweep();
    snprintf(path, sizeof path, "%s/target", getenv("TEST_BUILD"));
    if (execs)
        execl(path, "target", "exit", "3", (char *)NULL);
    return 3;
}

static void check(pid_t child, uint32_t mark)
{
    uint64_t id = 0;
    char own[1000] = "", other[1000] = "";

    CHECK(child > 1);
    CHECK_EQUAL(status_of(child), exited(3));
    for (uint32_t i = mark; i < events_so_far(); i++)
        if (event_number(i)->event == WATCH_TASK_CLONE)
            id = event_number(i)->id;
    for (uint32_t i = mark; i < events_so_far(); i++) {
        const struct record *r = event_number(i);

        append_event(r->id == id ? own : other, sizeof own, r);
        if (r->event == WATCH_TASK_CLONE || (execs && r->id == id && r->event != WATCH_TASK_INIT))
            CHECK_EQUAL(r->pid, child);
        if (r->id != id)
            CHECK_EQUAL(r->pid, 1);
        if (r->event == WATCH_TASK_EXIT)
            CHECK_EQUAL(r->exit_status, exited(3));
    }
    CHECK_TEXT(own, execs ? "init clone exit+behalf free+behalf" : "init clone exit free");
    CHECK_TEXT(other, execs ? "exec+adopted exit free" : "");
}

int main(void)
{
    struct clone_args arguments = {.flags = CLONE_NEWPID, .exit_signal = SIGCHLD};
    uint32_t mark;
    pid_t child;

    for (execs = 0; execs < 2; execs++) {
        mark = events_so_far();
        child = clone(live, stack + sizeof stack, CLONE_NEWPID | SIGCHLD, NULL);
        check(child, mark);
        mark = events_so_far();
        child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
        if (child == 0)
            _exit(live(NULL));
        check(child, mark);
    }
    for (execs = 0; execs < 2; execs++) {
        /* unshare makes no task and tells nothing: the first child made later is in the new namespace. */
        pid_t outer = fork();

        if (outer == 0) {
            CHECK_EQUAL(unshare(CLONE_NEWPID), 0);
            mark = events_so_far();
            child = fork();
            if (child == 0)
                _exit(live(NULL));
            check(child, mark);
            _exit(5);
        }
        CHECK_EQUAL(status_of(outer), exited(5));
        EXPECT_TASK(outer, "init clone exit free");
    }
    return 0;
}
