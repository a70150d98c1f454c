// SPDX-License-Identifier: MIT
#include "message.hpp"

#include <taskwatch/taskwatch.h>

namespace taskwatch {

void message(Line &line) {
    static constinit taskwatch_sink standard_error{};
    Line whole;
    whole << "libtaskwatch: " << line.view();
    std::string_view text = whole.with_newline();
    (void)taskwatch_write(&standard_error, text.data(), text.size());
}

}  // namespace taskwatch
