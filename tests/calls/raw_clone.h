/* SPDX-License-Identifier: MIT */
/*
 * The ways in which a program can make a child through syscall(2), and a landing for a child with a stack of
 * its own: syscall() returns on that stack, so the word at its top is where the child goes on.
 */
#ifndef TESTS_RAW_CLONE_H
#define TESTS_RAW_CLONE_H

#include <linux/sched.h>
#include <stdint.h>

#include "check.h"

__attribute__((unused)) static const struct way {
    const char *name;
    long number;
    uint64_t flags;
    int shares_memory;
} ways[] = {
    {"SYS_fork", SYS_fork, 0, 0},
    {"SYS_clone", SYS_clone, 0, 0},
    {"SYS_clone", SYS_clone, CLONE_FILES | CLONE_FS, 0},
    {"SYS_clone3", SYS_clone3, 0, 0},
    {"SYS_clone", SYS_clone, CLONE_VFORK, 0},
    {"SYS_clone3", SYS_clone3, CLONE_VFORK, 0},
    {"SYS_vfork", SYS_vfork, CLONE_VM | CLONE_VFORK, 1},
    {"SYS_clone", SYS_clone, CLONE_VM | CLONE_VFORK, 1},
    {"SYS_clone3", SYS_clone3, CLONE_VM | CLONE_VFORK, 1},
};
#define WAYS (sizeof ways / sizeof *ways)

/* The ways of a child that gets a stack. */
__attribute__((unused)) static const struct way stacked_ways[] = {
    {"SYS_clone", SYS_clone, 0, 0},
    {"SYS_clone3", SYS_clone3, 0, 0},
    {"SYS_clone", SYS_clone, CLONE_VFORK, 0},
    {"SYS_clone3", SYS_clone3, CLONE_VFORK, 0},
    {"SYS_clone", SYS_clone, CLONE_VM | CLONE_VFORK, 1},
    {"SYS_clone3", SYS_clone3, CLONE_VM | CLONE_VFORK, 1},
    {"SYS_clone", SYS_clone, CLONE_VM, 1},
    {"SYS_clone3", SYS_clone3, CLONE_VM, 1},
};
#define STACKED_WAYS (sizeof stacked_ways / sizeof *stacked_ways)

/* The first two arguments of the call. The child of a vfork may not leave the function that calls it, so the
   call itself stands in the test. */
struct arguments {
    long first, second;
    struct clone_args clone3;
};

static inline void prepare(struct arguments *a, const struct way *way, void *stack, size_t size, int exit_signal)
{
    memset(a, 0, sizeof *a);
    if (way->number == SYS_clone) {
        a->first = (long)(way->flags | (unsigned)exit_signal);
        a->second = stack ? (long)((char *)stack + size) : 0;
    } else if (way->number == SYS_clone3) {
        a->clone3 = (struct clone_args){.flags = way->flags,
                                        .exit_signal = (unsigned)exit_signal,
                                        .stack = (uintptr_t)stack,
                                        .stack_size = stack ? size : 0};
        a->first = (long)&a->clone3;
        a->second = sizeof a->clone3;
    }
}

#define RAW_CLONE(way, a) ((pid_t)syscall((way)->number, (a).first, (a).second, 0L, 0L, 0L, 0L))

/* A stack with room for a few calls; what is above its top belongs to somebody. */
static char landing_stack[65536 + 64] __attribute__((aligned(16)));
#define LANDING_SIZE 65536

static inline void prepare_landing(void (*landing)(void))
{
    memset(landing_stack, 0x5a, sizeof landing_stack);
    /* Below the top: what the kernel is told ends one word and its padding lower. */
    *(uintptr_t *)(landing_stack + LANDING_SIZE - 16) = (uintptr_t)landing;
}
#define LANDING_STACK landing_stack, (LANDING_SIZE - 16)

static inline void check_above_landing(void)
{
    for (size_t i = LANDING_SIZE; i < sizeof landing_stack; i++)
        CHECK_EQUAL(landing_stack[i], 0x5a);
}

#endif
