// SPDX-License-Identifier: MIT
// Finds, opens, checks and registers the watchers that TASKWATCH_WATCHERS names. One reason per
// refusal; a refused watcher is left out and the rest are loaded.
#pragma once

#include <string_view>

#include "chain.hpp"
#include "config.hpp"

namespace taskwatch {

// A watcher by its name without a file, or null.
using BuiltIn = const taskwatch_watcher *(std::string_view name);

// What the loader needs of the rest, so that it can be tested alone.
struct LoaderHost {
    Chain *chain;
    char *const *envp;     // for the watchers' options
    const char *own_folder;  // where the library's own watchers are, "/usr/lib/.../taskwatch"; may be null
    // Watchers that are in the library itself: taken for a name that no folder of TASKWATCH_PATH has, in place of
    // the file of that name in own_folder, which is the same code. May be null.
    BuiltIn *built_in = nullptr;
    // An earlier image of this session has loaded this very list without a refusal: the files are not
    // looked into again before they are opened.
    bool loaded_before = false;
    // A configuration error: one line without prefix and newline. Printed once per session.
    void (*refuse)(const char *message);
};

// How many were refused. Normal context (dlopen): called once per image, by startup.
int load_watchers(const Config &config, const LoaderHost &host);

// The name to register a block under when a watcher's constructor calls register_task_watcher(): the
// watcher being loaded by this thread right now, otherwise "program".
const char *loading_name();

// Calls fini(reason) of every loaded watcher that has one, once.
void finish_watchers(int reason);

}  // namespace taskwatch
