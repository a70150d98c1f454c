/* SPDX-License-Identifier: MIT */
/*
 * EXIT comes after the program's atexit and on_exit handlers and destructors, whenever they were registered,
 * and after stdio was flushed; the end is told before the parent's wait returns.
 *
 * main: exec exit free
 */
#include "check.h"

static int in_child, order;

static void check_not_told(int expected)
{
    if (!in_child)
        return;
    EXPECT_TASK(getpid(), "init clone");
    CHECK_EQUAL(order++, expected);
}

static void late(void) { check_not_told(1); }
static void first(void) { check_not_told(2); }
static void on_exit_handler(int status, void *unused)
{
    (void)unused;
    if (in_child)
        CHECK_EQUAL(status, 3);
    check_not_told(0);
    if (in_child)
        atexit(late);
}

__attribute__((constructor)) static void construct(void) { atexit(first); }
__attribute__((destructor)) static void destroy(void) { check_not_told(3); }

int main(void)
{
    char text[32] = "";
    int out[2];
    pid_t child;

    CHECK_EQUAL(pipe(out), 0);
    CHECK_EQUAL(on_exit(on_exit_handler, NULL), 0);
    pause_next(WATCH_MASK_EXIT, "exit");
    child = fork();
    if (child == 0) {
        in_child = 1;
        dup2(out[1], STDOUT_FILENO);
        printf("not flushed");
        exit(3);
    }
    await_pause();
    /* In EXIT's callback: what it printed is here already, its status is not. */
    CHECK_EQUAL(fcntl(out[0], F_SETFL, O_NONBLOCK), 0);
    CHECK_EQUAL(read(out[0], text, sizeof text - 1), 11);
    CHECK_TEXT(text, "not flushed");
    CHECK_EQUAL(waitpid(child, NULL, WNOHANG), 0);
    EXPECT_TASK(child, "init clone exit");
    let_go();
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_TASK(child, "init clone exit free");
    return 0;
}
