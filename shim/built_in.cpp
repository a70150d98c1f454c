// SPDX-License-Identifier: MIT
#include "built_in.hpp"

extern "C" {
extern const taskwatch_watcher taskwatch_watcher_trace;
extern const taskwatch_watcher taskwatch_watcher_limit;
extern const taskwatch_watcher taskwatch_watcher_fault;
}

namespace taskwatch {

// Comparisons and no table of pointers, which the dynamic linker would have to relocate in each process.
const taskwatch_watcher *built_in_watcher(std::string_view name) {
    if (name == "trace") return &taskwatch_watcher_trace;
    if (name == "limit") return &taskwatch_watcher_limit;
    if (name == "fault") return &taskwatch_watcher_fault;
    return nullptr;
}

}  // namespace taskwatch
