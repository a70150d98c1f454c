// SPDX-License-Identifier: MIT
// Every TASKWATCH_* variable, read once. Nothing is read in secure-execution mode (AT_SECURE), and nothing
// but TASKWATCH_DISABLE when that is on.
//
// A switch is off when its value is "0", on with any other value, and at its default when unset or empty.
#pragma once

#include <cstddef>

namespace taskwatch {

struct Config {
    bool disabled = false;  // TASKWATCH_DISABLE=1, or secure-execution mode
    bool follow = true;     // TASKWATCH_FOLLOW=0: this process only
    bool strict = false;    // TASKWATCH_STRICT=1: a configuration error is fatal before main, status 125
    bool quiet = false;     // TASKWATCH_QUIET=1: an ancestor installed a seccomp filter
    const char *watchers = nullptr;  // TASKWATCH_WATCHERS, "trace:limit:/path/mine.so"
    const char *path = nullptr;      // TASKWATCH_PATH, folders separated by ':'
    const char *session = nullptr;   // TASKWATCH_SESSION
    const char *launched = nullptr;  // TASKWATCH_LAUNCHED: pid of the one that a launcher has become
};

// Pointers into `envp` (which may be null). An empty text counts as unset. Async-signal-safe.
Config read_config(char *const *envp, bool secure);

// The variable that holds the options of `watcher` (a name or a path), as in TASKWATCH_<NAME>: basename
// without ".so", upper case, other bytes '_'. 0; EINVAL: no name, or one that would collide with the
// library's own variables (DISABLE, FOLLOW, STRICT, QUIET, WATCHERS, PATH, SESSION, LAUNCHED, LIBRARY, TESTS_MUST_RUN);
// ENAMETOOLONG: the variable's name would have more than 63 bytes. Async-signal-safe.
[[nodiscard]] int option_variable(const char *watcher, char (&ret_name)[64]);

}  // namespace taskwatch
