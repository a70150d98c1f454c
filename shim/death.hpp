// SPDX-License-Identifier: MIT
// Whether a task is no more, asked from the kernel. Async-signal-safe; opens and closes a descriptor where /proc is asked.
#pragma once

#include <sys/types.h>

namespace taskwatch {

// Gone, or dead and waiting for this process to take it away.
bool is_dead(pid_t pid);
// The parent of a process that is dead and not waited for; 0: it is not, or it is not to be known.
pid_t parent_of_corpse(pid_t pid);
// Gone or a corpse: it will never run code again. A tid as well.
bool runs_no_code(pid_t tid);

}  // namespace taskwatch
