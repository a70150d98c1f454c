// SPDX-License-Identifier: MIT
#include "clock.hpp"

#include "process.hpp"
#include "start_data.hpp"
#include "sys.hpp"

namespace taskwatch {
namespace {

// A read by the vDSO is two tenths of a microsecond cheaper than a system call, but the first one in an image or a
// forked child costs three page faults (libc's page, the vDSO's, the kernel's data) and in an image the binding of a
// symbol, four to five microseconds in all. Most processes make a handful of reads.
constexpr unsigned reads_by_system_call = 24;
START_BSS constinit std::atomic<unsigned> reads{0};

}  // namespace

uint64_t clock_ns(clockid_t clock) {
    timespec t = {};
    bool read = false;
#if defined(__x86_64__)  // elsewhere its struct timespec may be another one
    const unsigned before = reads.load(std::memory_order_relaxed);
    // Behind a seccomp filter no system call is made that was not made before.
    if (before < reads_by_system_call && !process.quiet) {
        reads.store(before + 1, std::memory_order_relaxed);
        read = sys::call(SYS_clock_gettime, clock, &t) == 0;
    }
#endif
    if (!read) clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void clock_after_fork_in_child() { reads.store(0, std::memory_order_relaxed); }

}  // namespace taskwatch
