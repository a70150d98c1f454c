// SPDX-License-Identifier: MIT
// clone, clone3, fork and vfork as raw system calls: which of lifecycle's ways a child goes. Like clone(2) of
// wrap_clone.cpp, but the child returns to the caller of syscall(), with its registers.
#pragma once

#include "system_call.hpp"

namespace taskwatch {

struct CloneRequest {
    uint64_t flags = 0;   // exit signal included
    uintptr_t stack = 0;  // its highest address; 0: the creator's
};

// SYS_clone's flags and stack, in this machine's order.
inline CloneRequest clone_arguments(const SystemCall &c) {
    return {.flags = (uint32_t)c.a[0], .stack = (uintptr_t)c.a[1]};
}

Next begin_system_clone(SystemCall &c, const char *name, const CloneRequest &request);
Next begin_system_clone3(SystemCall &c);

}  // namespace taskwatch
