// SPDX-License-Identifier: MIT
// What a watcher's file says before it is loaded.
#pragma once

#include <string>
#include <vector>

namespace taskwatch {

struct WatcherObject {
    std::string error;                // why it is no shared object, or empty
    std::vector<std::string> needed;  // libraries, as the file names them
    std::vector<std::string> unsafe;  // functions of unsafe_calls.def that it refers to
    bool bound_at_once = false;       // -z now
    bool text_relocations = false;
    bool executable_stack = false;
};

WatcherObject read_watcher_object(const std::string &path);

}  // namespace taskwatch
