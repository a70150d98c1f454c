// SPDX-License-Identifier: MIT
// A system call that a program makes through syscall(2): what wrap_syscall.S, which saves the arguments and
// keeps the program's registers, and wrap_syscall.cpp, which knows what the call means, have in common.
#pragma once

#include <sys/syscall.h>

#include <cstddef>

#include "lifecycle.hpp"

namespace taskwatch {

// What a child that got a stack finds at the address its creator left in r9. wrap_syscall.S puts the child's
// stack pointer into `stack`, runs `arrive` below this object, and returns to the program on `stack`.
struct ChildBase {
    uintptr_t stack;
    void (*arrive)(ChildBase *);
};

// What wrap_syscall.S does when C has decided.
enum class Next : int {
    done,           // `result` is what the kernel returned, or would have: a value or a negative errno
    forward,        // make the system call
    vfork_watched,  // make it with the return address in a register; taskwatch_system_vfork_*() on both sides
    vfork_unwatched,
    own_stack,      // make it; the child arrives at `base`, the creator calls taskwatch_system_call_made()
};

// On the stack of syscall() from before the call until after it, on the creator's side.
struct alignas(16) SystemCall {
    ChildBase base;
    long result;
    long number;
    long a[6];
    ChildBase *child_base;  // what r9 gets, or for vfork_watched r8: the level

    // From here on wrap_syscall.cpp's alone.
    CreateCall call;
    VforkLevel *level;
    Hold verdict;
    alignas(Creation) unsigned char creation[sizeof(Creation)];

    long make() const { return sys::call(number, a[0], a[1], a[2], a[3], a[4], a[5]); }
};

#if defined(__x86_64__)
// wrap_syscall.S reserves this much and knows where these are.
static_assert(sizeof(SystemCall) <= 448);
static_assert(offsetof(SystemCall, base.stack) == 0 && offsetof(SystemCall, base.arrive) == 8 &&
              offsetof(SystemCall, result) == 16 && offsetof(SystemCall, number) == 24 &&
              offsetof(SystemCall, a) == 32 && offsetof(SystemCall, child_base) == 80);
#endif

// The wait family's accounting (wrap_wait.cpp) with the raw calls: no cancellation point. A negative errno.
long wait_raw(const SystemCall &wait4);
long waitid_raw(const SystemCall &waitid);

// A filter is about to be installed, and was or was not (wrap_sandbox.cpp).
void before_filter();
void after_filter(bool installed);

}  // namespace taskwatch
