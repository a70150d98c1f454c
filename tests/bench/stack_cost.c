/* SPDX-License-Identifier: MIT */
/*
 * What the stack watcher's walk costs: an event of our own making, which goes through the chain as a fork's does, below
 * chains of 8 and of 64 calls. Under preload with `stack` alone, its output to /dev/null. The first walk of a process
 * (cold: libunwind starts, its pages and the tables are touched for the first time) and the median of later ones.
 *   stack_cost [ROUNDS]
 */
#include <stdio.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

#include "interleave.h"

#pragma weak notify_watchers

__attribute__((noinline)) static int tell_below(int calls)
{
    struct task_watch task = {.size = sizeof task, .pid = 1, .tgid = 1, .call = "fork", .id = 1};

    if (calls > 0)
        return tell_below(calls - 1) + 1;
    return notify_watchers(WATCH_TASK_INIT, &task);
}

static void walk(void *calls)
{
    tell_below((int)(intptr_t)calls);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1500;
    double start = now_us();

    if (!notify_watchers) {
        fprintf(stderr, "stack_cost: not under libtaskwatch.so\n");
        return 2;
    }
    walk((void *)(intptr_t)8);
    printf("the first walk, 8 calls deep: %.0f us\n", now_us() - start);
    struct variant variants[] = {
        {"8 calls deep", walk, (void *)(intptr_t)8},
        {"8 calls deep again", walk, (void *)(intptr_t)8},
        {"64 frames of 70", walk, (void *)(intptr_t)70},
    };
    interleave("one walk of the stack watcher, JSON to /dev/null", variants, 3, rounds);
    return 0;
}
