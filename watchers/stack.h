/* SPDX-License-Identifier: MIT */
/* What the stack watcher's walk hands to its formats. Who is asked about, and where it is written: stack.c. */
#ifndef WATCHERS_STACK_H
#define WATCHERS_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STACK_FRAMES_MAX 256
#define STACK_MODULES_MAX 32
#define STACK_BUILD_ID_MAX 32

/* An object that code on the stack belongs to. */
struct stack_module {
    const void *map;  /* its link_map */
    const char *path; /* the dynamic linker's; "" for the program itself */
    uintptr_t bias;   /* what an address is above the one in the file */
    uint8_t build_id[STACK_BUILD_ID_MAX];
    unsigned build_id_length; /* 0: it has none */
};

struct stack_frame {
    uintptr_t pc; /* where a call returns to, or where a signal interrupted it */
    bool interrupted;
    int module;           /* index, -1: none (code that was made at run time) */
    const char *function; /* if names were asked for and the dynamic linker knows one that holds the pc */
    uintptr_t in_function;
};

struct stack {
    unsigned frame_count, module_count;
    bool more;   /* there are more frames than were asked for */
    bool broken; /* it could not be followed to its end */
    struct stack_frame frames[STACK_FRAMES_MAX];
    struct stack_module modules[STACK_MODULES_MAX];
};

/* The registers that a call keeps, and where it returns to. */
struct stack_registers {
    uintptr_t rbx, rbp, rsp, r12, r13, r14, r15, rip;
};

/*
 * Once, at load: allocates. `library`: an address in the library that calls the watcher; its frames and ours are left
 * out. False: no memory.
 */
bool stack_prepare(const void *library);

/*
 * Walks from `registers` on, at most `depth` frames, the caller of the wrapped function first. Takes about 8 KiB of
 * stack and no lock of the dynamic linker's; reads no address that the kernel does not find readable. Signals have
 * to be blocked. Another thread of this process must not be in it at a fork whose child calls it: stack_enter().
 */
void stack_walk(const struct stack_registers *registers, unsigned depth, bool names, struct stack *ret_stack);

/*
 * Around each walk. False: this process was forked while another thread walked, and libunwind's pools may be locked
 * for ever here.
 */
bool stack_enter(int pid);
void stack_leave(void);

#endif /* WATCHERS_STACK_H */
