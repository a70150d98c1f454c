/* SPDX-License-Identifier: MIT */
/*
 * A STOP at INIT or CLONE fails fork, vfork, clone and clone3 made through syscall(2), on whatever stack: -1 and
 * the watcher's errno, no line of the child has run, no child and no SIGCHLD is left.
 *
 * main: exec exit free
 */
#include "raw_clone.h"

static volatile int ran, announced;

static void land(void)
{
    ran++;
    syscall(SYS_exit, 6);
}

static void count(int number)
{
    (void)number;
    announced++;
}

static void check(const struct way *way, int with_stack, uint32_t event, const char *sequence)
{
    uint32_t mark = events_so_far();
    struct arguments a;
    pid_t child;

    prepare_landing(land);
    if (with_stack)
        prepare(&a, way, LANDING_STACK, SIGCHLD);
    else
        prepare(&a, way, NULL, 0, SIGCHLD);
    stop_at(event, NOTIFY_BAD);
    errno = 0;
    child = RAW_CLONE(way, a);
    if (child == 0) {
        ran++;
        syscall(SYS_exit_group, 3);
    }
    stop_nothing();
    CHECK_EQUAL(child, -1);
    CHECK_EQUAL(errno, EPERM);
    CHECK_EQUAL(ran, 0);
    CHECK_EQUAL(announced, 0);
    EXPECT_SINCE(mark, sequence);
    no_children_left();
}

int main(void)
{
    sigset_t mask, after;

    signal(SIGCHLD, count);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < WAYS; i++) {
        check(&ways[i], 0, WATCH_MASK_INIT, "init free");
        check(&ways[i], 0, WATCH_MASK_CLONE, "init clone free");
    }
    for (size_t i = 0; i < STACKED_WAYS; i++) {
        check(&stacked_ways[i], 1, WATCH_MASK_INIT, "init free");
        check(&stacked_ways[i], 1, WATCH_MASK_CLONE, "init clone free");
    }
    sigprocmask(SIG_SETMASK, NULL, &after);
    CHECK_EQUAL(memcmp(&mask, &after, 8), 0); /* libc writes the kernel's part */
    return 0;
}
