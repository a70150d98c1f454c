// SPDX-License-Identifier: MIT
// Whether a task is no more, asked from the kernel. Async-signal-safe; opens and closes a descriptor where /proc is asked.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

// Gone, or dead and waiting for this process to take it away.
bool is_dead(pid_t pid);
// Gone or a corpse: it will never run code again. A tid as well. `start_ns`: it was there at that time, CLOCK_BOOTTIME, 0: not known; one
// that began later is another task under its number.
bool runs_no_code(pid_t tid, uint64_t start_ns = 0);

}  // namespace taskwatch
