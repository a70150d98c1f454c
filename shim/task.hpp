// SPDX-License-Identifier: MIT
// Who a task is, as this library knows it. A process or a thread; plain data.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

struct Task {
    pid_t pid = 0;           // kernel task id, 0 before CLONE
    pid_t tgid = 0;
    pid_t ppid = 0;
    uint32_t slot = no_slot; // its place in the ledger, counted from 1
    uint64_t id = 0;         // 0: not known yet
    uint64_t parent_id = 0;
    uint64_t start_ns = 0;   // CLOCK_BOOTTIME of CLONE or of first sight
    bool adopted = false;    // met without INIT, and nobody was told yet
    bool ended = false;      // its EXIT was told

    static constexpr uint32_t no_slot = 0;  // all zero, so that tables of tasks need no bytes in the file
};

}  // namespace taskwatch
