// SPDX-License-Identifier: MIT
// What the library itself has to say: one line on the session's standard error.
#pragma once

#include "line.hpp"

namespace taskwatch {

// "libtaskwatch: " + line. Async-signal-safe.
void message(Line &line);

}  // namespace taskwatch
