// SPDX-License-Identifier: MIT
// For the twin without wrap_exit.cpp: what others call there, doing nothing.
#include "true_end.hpp"

namespace taskwatch {

void end_here(const char *, int) {}
void at_quick_end(void *) {}

}  // namespace taskwatch
