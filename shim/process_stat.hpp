// SPDX-License-Identifier: MIT
// What the kernel says of a process in /proc/PID/stat, proc(5). Async-signal-safe; opens and closes a descriptor.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

struct ProcessStat {
    char state = 0;        // 'R', 'S', ... 'Z': a corpse
    pid_t parent = 0;
    uint64_t start_ns = 0;  // CLOCK_BOOTTIME, rounded down to a tick
    // Later than a task was there that began at `ns`; 0: that is not known.
    bool is_younger(uint64_t ns) const { return ns != 0 && start_ns > ns; }
    bool is_corpse() const { return state == 'Z' || state == 'X'; }
};

// A tick of start_ns: USER_HZ is 100 wherever Linux runs.
inline constexpr uint64_t tick_ns = 10000000;

// False: there is no such process, or no /proc.
bool read_process_stat(pid_t pid, ProcessStat &ret_stat);

// Whether process `pid` exists and was there at `start_ns` (CLOCK_BOOTTIME): a task is recorded when it is made or
// first seen, so a process that began later is another one under its number. Without /proc: true if it exists.
bool is_process_of(pid_t pid, uint64_t start_ns);

}  // namespace taskwatch
