/* SPDX-License-Identifier: MIT */
/*
 * A library whose constructor runs before a preloaded library's: it registers handlers for fork, exit and
 * quick_exit. What they do is the program's: early_atfork, early_atexit.
 */
#include <pthread.h>
#include <stdlib.h>

void (*early_atfork)(void);
void (*early_atexit)(void);

static void in_child(void)
{
    if (early_atfork)
        early_atfork();
}

static void at_end(void)
{
    if (early_atexit)
        early_atexit();
}

__attribute__((constructor)) static void construct(void)
{
    pthread_atfork(NULL, NULL, in_child);
    atexit(at_end);
    at_quick_exit(at_end);
}
