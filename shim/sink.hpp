// SPDX-License-Identifier: MIT
// taskwatch_write() for the library itself.
#pragma once

#include <taskwatch/taskwatch.h>

#include <cstddef>

namespace taskwatch {

// The same, but that a record which cannot be written is not counted as lost. 0 or a negative errno.
[[nodiscard]] long write_uncounted(taskwatch_sink &sink, const void *record, size_t length);

}  // namespace taskwatch
