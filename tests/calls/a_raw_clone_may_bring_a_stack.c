/* SPDX-License-Identifier: MIT */
/*
 * A clone or clone3 through syscall(2) with a stack: the child goes on where the word at the top of that
 * stack says, after it was held; nothing at or above the top is touched. A thread made so is a task of its process.
 *
 * main: exec exit free
 */
#include "raw_clone.h"

static volatile int landed;
static volatile uint32_t events_at_landing;

static void land(void)
{
    events_at_landing = events_so_far();
    landed++;
    syscall(SYS_exit, 6);
}

static void check(const struct way *way)
{
    uint32_t mark = events_so_far();
    struct arguments a;
    pid_t child;

    prepare_landing(land);
    prepare(&a, way, LANDING_STACK, SIGCHLD);
    landed = 0;
    child = RAW_CLONE(way, a);
    CHECK(child > 0);
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_SINCE(mark, "init clone exit free");
    CHECK_EQUAL(event_number(mark + 1)->pid, child);
    CHECK_EQUAL(event_number(mark + 1)->clone_flags, way->flags | SIGCHLD);
    CHECK_TEXT(event_number(mark + 1)->call, way->name);
    CHECK_EQUAL(event_number(mark + 2)->exit_status, exited(6));
    CHECK_EQUAL(event_number(mark + 2)->process, child);
    CHECK_TEXT(event_number(mark + 2)->call, "SYS_exit");
    CHECK_EQUAL(landed, way->shares_memory);
    if (way->shares_memory)
        CHECK_EQUAL(events_at_landing, mark + 2);
    check_above_landing();
    no_children_left();
}

static void check_thread(long number)
{
    uint32_t mark = events_so_far();
    static volatile pid_t alive;
    struct way way = {"thread", number,
                      CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                          CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID, 1};
    struct arguments a;
    pid_t thread;

    prepare_landing(land);
    prepare(&a, &way, LANDING_STACK, 0);
    a.clone3.child_tid = (uintptr_t)&alive;
    landed = 0;
    alive = -1;
    thread = (pid_t)syscall(number, a.first, a.second, 0L, &alive, 0L, 0L);
    CHECK(thread > 0);
    while (alive != 0)
        syscall(SYS_futex, &alive, FUTEX_WAIT, alive, NULL, NULL, 0);
    CHECK_EQUAL(landed, 1);
    EXPECT_SINCE(mark, "init clone exit free");
    CHECK_EQUAL(events_at_landing, mark + 2);
    CHECK_EQUAL(event_number(mark + 1)->pid, thread);
    CHECK_EQUAL(event_number(mark + 1)->tgid, getpid());
    CHECK_EQUAL(event_number(mark + 2)->pid, thread);
    CHECK_EQUAL(event_number(mark + 2)->tgid, getpid());
    CHECK_EQUAL(event_number(mark + 2)->exit_status, exited(6));
    check_above_landing();
}

int main(void)
{
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < STACKED_WAYS; i++)
            check(&stacked_ways[i]);
        check_thread(SYS_clone);
        check_thread(SYS_clone3);
    }
    return 0;
}
