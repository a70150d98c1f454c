// SPDX-License-Identifier: MIT
// Will this image load us? Reads the file that is about to be executed. A forecast: it can be wrong for
// files that cannot be read or that binfmt_misc handles, and says "yes" then. What it cannot know: what
// SELinux or AppArmor add to AT_SECURE, ids that a user namespace does not map, the program that a dynamic
// loader is told to run.
#pragma once

#include <cstddef>
#include <string_view>

namespace taskwatch {

// An address sanitizer's runtime by its file name: the one library that insists on being first and ends the
// program otherwise. (gcc's libtsan, liblsan and libubsan and clang's libhwasan do not ask; clang links its
// own statically unless told otherwise, and then nothing has to come first.)
constexpr bool is_asan_runtime(std::string_view path) {
    std::string_view name = path;
    name.remove_prefix(path.rfind('/') + 1);
    return name.starts_with("libasan.so") || name.starts_with("libclang_rt.asan");
}

constexpr size_t script_line = 256;  // BINPRM_BUF_SIZE

// The interpreter that the first line of a script names, NUL-terminated in place, or null. `line` has script_line
// bytes, with zeros behind a shorter file. The rules of load_script() in the kernel's fs/binfmt_script.c: a
// name may not be cut by the end of the 256 bytes, arguments may.
char *script_interpreter(char *line);

struct TargetQuery {
    int directory;     // as in execveat(2); AT_FDCWD
    const char *path;  // "" with an fd in `directory`: that file (AT_EMPTY_PATH)
    // Our library as LD_PRELOAD names it. Whether it can be reached is judged for an absolute path without
    // "$" alone; null: not at all.
    const char *library;
    bool secure;  // also work out whether the kernel will set AT_SECURE (two or three more calls)
};

struct Target {
    bool loads_us = true;
    // Why not: "static", "secure-execution", "other class or machine", "other libc", "library not
    // reachable". Never null when !loads_us.
    const char *reason = nullptr;
    // Where loads_us is false: this image ignores LD_PRELOAD without a word (it is static, or starts in
    // secure-execution mode), while what it starts may obey it. Others print an error or break.
    bool ignores_preload = false;
    // The ASan runtime that must come before us in LD_PRELOAD ("libasan.so.8"), or empty.
    char first_library[48] = "";
};

// `#!` is followed to the interpreter (as the kernel does: at most 5 levels, 256 bytes a line). Nothing but
// regular files is opened, so no FIFO, device or terminal notices. Does not touch errno. At most 1.5 KiB of
// stack. Async-signal-safe.
Target judge_target(const TargetQuery &query);

}  // namespace taskwatch
