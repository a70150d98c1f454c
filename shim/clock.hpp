// SPDX-License-Identifier: MIT
// The clocks of a record, in nanoseconds. Async-signal-safe.
#pragma once

#include <time.h>

#include <cstdint>

namespace taskwatch {

uint64_t clock_ns(clockid_t clock);
inline uint64_t realtime_ns() { return clock_ns(CLOCK_REALTIME); }
inline uint64_t boottime_ns() { return clock_ns(CLOCK_BOOTTIME); }

// In a forked child: it begins anew with what is cheap for a short life.
void clock_after_fork_in_child();

}  // namespace taskwatch
