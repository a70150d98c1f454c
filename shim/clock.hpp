// SPDX-License-Identifier: MIT
// The two clocks of a record, in nanoseconds. vDSO reads: async-signal-safe, no system call.
#pragma once

#include <time.h>

#include <cstdint>

namespace taskwatch {

inline uint64_t clock_ns(clockid_t clock) {
    timespec t = {};
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}
inline uint64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }
inline uint64_t boottime_ns() { return clock_ns(CLOCK_BOOTTIME); }

}  // namespace taskwatch
