// SPDX-License-Identifier: MIT
// What will be seen of a program, and what will not, in plain words.
#pragma once

#include <string>
#include <vector>

#include "target.hpp"

namespace taskwatch {

struct Diagnosis {
    enum class Verdict {
        watched,
        in_part,      // watched, but not all of what it does or starts
        not_watched,
        cannot_run,   // as execvp(3) would find
    };
    Verdict verdict = Verdict::watched;
    // Goes on after the program's name: "cannot be watched: it is statically linked; what it starts can be". Of one that
    // cannot run, the reason alone.
    std::string sentence;
    int exit_status = 0;             // as taskwatch --doctor exits: 0, 1, 126, 127
    std::vector<std::string> files;  // a sentence for the file and each interpreter
    std::string seen, not_seen;
    Target target;                   // the shim's own judgement of the file
};

// `path` as execve(2) takes it; `library` the absolute path of ours.
Diagnosis diagnose(const std::string &path, const char *library);

}  // namespace taskwatch
