// SPDX-License-Identifier: MIT
// One scratch process: the driver for one place, under the library with the checked watcher.
#pragma once

#include <memory>
#include <string>

#include "record.h"

namespace taskwatch {

struct Setting {
    std::string watcher;   // the checked file
    std::string variable;  // TASKWATCH_<NAME>
    std::string options;   // its value
    std::string library;   // libtaskwatch.so
    std::string folder;    // of check-first.so and check-last.so
};

struct Outcome {
    std::unique_ptr<check_record> record = std::make_unique<check_record>();
    int status = 0;      // as waitpid(2) has it
    bool hung = false;   // it was ended by us
    std::string output;  // what it wrote on stderr and stdout
};

// For one of enum check_place. Takes at most time_limit_s.
Outcome run_scratch(const Setting &setting, unsigned place);
constexpr int time_limit_s = 10;

// How long an exec of /bin/true takes with these libraries preloaded and without any: microseconds, medians.
struct ExecCost {
    double bare, with;
};
ExecCost measure_exec(const std::string &libraries);

}  // namespace taskwatch
