// SPDX-License-Identifier: MIT
// The library's own watchers that are compiled into it: found without opening, mapping or binding a file. The
// same sources are built as files too (watchers/meson.build).
#pragma once

#include <taskwatch/taskwatch.h>

#include <string_view>

namespace taskwatch {

// The descriptor of the built-in watcher of this name, or null. Async-signal-safe.
const taskwatch_watcher *built_in_watcher(std::string_view name);

}  // namespace taskwatch
