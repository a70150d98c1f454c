/* SPDX-License-Identifier: MIT */
/*
 * The program's atfork child handlers run after the hold, also those that were registered before the
 * library was there: by the executable's preinit functions and by another library's constructor. At exit
 * such early handlers run before EXIT is told.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

extern void (*early_atfork)(void), (*early_atexit)(void);

static int runs;

static void check_told(void)
{
    /* The creator's callback writes its record before the gate is opened. */
    EXPECT_TASK(getpid(), "init clone");
    runs++;
}

static void preinit_child(void)
{
    check_told();
}

static void preinit(void)
{
    pthread_atfork(NULL, NULL, preinit_child);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

int main(void)
{
    for (int round = 0; round < 20; round++) {
        pid_t child;

        early_atfork = check_told;
        child = fork();
        if (child == 0) {
            CHECK_EQUAL(runs, 2);
            early_atexit = check_told;
            exit(0);
        }
        CHECK_EQUAL(status_of(child), 0);
        EXPECT_TASK(child, "init clone exit free");
        child = fork();
        if (child == 0) {
            early_atexit = check_told;
            quick_exit(4);
        }
        CHECK_EQUAL(status_of(child), exited(4));
        EXPECT_TASK(child, "init clone exit free");
    }
    return 0;
}
