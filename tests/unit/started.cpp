// SPDX-License-Identifier: MIT
// The start of the library in a unit test: nothing is read, nobody is loaded.
#include "process.hpp"

namespace taskwatch {

void ensure_started() { process.wanted.store(wanted_now(), std::memory_order_release); }

}  // namespace taskwatch
