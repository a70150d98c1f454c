// SPDX-License-Identifier: MIT
// What a watcher's file says about itself before the dynamic linker sees it: whether it can be loaded
// here at all, and the version in its descriptor. dlopen() runs constructors; a watcher that was
// compiled for another version of this library must be refused before any of its code has run.
// Nothing here says why a watcher is refused to the user: see loader.cpp.
#pragma once

#include <cstdint>

namespace taskwatch {

struct WatcherFile {
    enum class Descriptor {
        unknown,  // could not be made out: ask dlsym() when it is loaded
        none,     // the file exports no taskwatch_watcher
        found,    // abi_version and size are what the file has
    };

    // Why dlopen() would refuse it, or crash in it, "not an ELF file; ...", static text; null: fit.
    const char *unfit = nullptr;
    // Which file it is, to recognise one that is named twice.
    uint64_t dev = 0, ino = 0;
    Descriptor descriptor = Descriptor::unknown;
    uint32_t abi_version = 0, size = 0;
};

// Reads the file. 0, or the positive errno of opening or reading it. Opens one descriptor and closes it
// again; never blocks on a pipe or device; runs no code of the file. About 5 KiB of stack.
[[nodiscard]] int inspect_watcher(const char *path, WatcherFile &ret_file);

}  // namespace taskwatch
