/* SPDX-License-Identifier: MIT */
/*
 * fork, vfork, clone and clone3 through syscall(2): INIT and CLONE in the creator, or on the child's side while
 * the creator is suspended; the child goes on in the same function on its creator's memory or a copy of it; and
 * the child ends its own task. errno is as before in both.
 *
 * main: exec exit free
 */
#include "raw_clone.h"

static volatile int written;

static void check(const struct way *way)
{
    uint32_t mark = events_so_far();
    const struct record *record;
    struct arguments a;
    pid_t child;

    prepare(&a, way, NULL, 0, SIGCHLD);
    written = 0;
    errno = 77;
    child = RAW_CLONE(way, a);
    if (child == 0) {
        written = errno == 77 ? 5 : errno;
        syscall(SYS_exit_group, written);
    }
    CHECK_EQUAL(errno, 77);
    CHECK(child > 0);
    CHECK_EQUAL(status_of(child), exited(5));
    CHECK_EQUAL(written, way->shares_memory ? 5 : 0);
    EXPECT_SINCE(mark, "init clone exit free");
    record = event_number(mark);
    CHECK_TEXT(record->call, way->name);
    CHECK_EQUAL(record->process, getpid());
    CHECK_EQUAL(record->clone_flags, way->flags | SIGCHLD);
    record = event_number(mark + 1);
    CHECK_EQUAL(record->pid, child);
    CHECK_EQUAL(record->tgid, child);
    CHECK_EQUAL(record->ppid, getpid());
    CHECK_EQUAL(record->by, gettid());
    CHECK_EQUAL(record->process, way->flags & CLONE_VFORK ? child : getpid());
    record = event_number(mark + 2);
    CHECK_EQUAL(record->pid, child);
    CHECK_EQUAL(record->process, child);
    CHECK_EQUAL(record->exit_status, exited(5));
    CHECK_TEXT(record->call, "SYS_exit_group");
    no_children_left();
}

int main(void)
{
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < WAYS; i++)
            check(&ways[i]);
    return 0;
}
