// SPDX-License-Identifier: MIT
// Waiting for another thread of this process, longer each time: first by spinning, in the end a
// millisecond a time. The other one may be of a lower real-time priority, and would never run otherwise.
#pragma once

#include <time.h>

#include "sys.hpp"

namespace taskwatch {

// Async-signal-safe; errno is untouched; not a cancellation point.
class Backoff {
  public:
    void pause() {
        constexpr unsigned spins = 64, yields = 16, doublings = 10;
        if (round_ < spins) {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#else
            asm volatile("" ::: "memory");
#endif
        } else if (round_ < spins + yields) {
            sys::call(SYS_sched_yield);
        } else {
            timespec delay = {0, 1000L << (round_ - spins - yields)};
            sys::call(SYS_nanosleep, &delay, nullptr);
        }
        if (round_ < spins + yields + doublings) ++round_;
    }

  private:
    unsigned round_ = 0;
};

}  // namespace taskwatch
