// SPDX-License-Identifier: MIT
// Whether a process id still means the process that it meant.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

// True if process `pid` exists and was there at `start_ns` (CLOCK_BOOTTIME): a task is recorded when it is made or
// first seen, so a process that began later is another one under its number. Without /proc: true if it exists.
bool is_process_of(pid_t pid, uint64_t start_ns);

}  // namespace taskwatch
