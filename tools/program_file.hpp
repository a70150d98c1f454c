// SPDX-License-Identifier: MIT
// What an executable file says about itself, of any class and machine, for people to read. Whether the library
// will be loaded into it is not judged here but by the shim's own code (target.hpp).
#pragma once

#include <string>

namespace taskwatch {

struct ProgramFile {
    enum class Kind {
        program,     // ELF, of a type that the kernel executes
        script,      // "#!" and an interpreter
        text,        // neither: execvp(3) and the shells give it to /bin/sh, the kernel perhaps to binfmt_misc
        other_elf,   // ELF that is no program: an object file, a core dump
        unreadable,  // `error` says why
        missing,     // `error` says why; a directory and the like too
    };
    Kind kind = Kind::missing;
    int error = 0;

    // Of any kind that is not missing.
    bool set_user_id = false, set_group_id = false, capabilities = false;
    std::string owner, group;  // names, or the numbers of those that have none

    // A program's.
    int bits = 0;           // 32 or 64
    std::string machine;    // "x86-64"
    std::string loader;     // empty: statically linked
    std::string sanitizer;  // "AddressSanitizer", ..., or empty
    bool go = false;        // by the note that holds a Go build id

    // A script's. The kernel passes all that follows the interpreter as one argument.
    std::string interpreter, argument;
};

// Follows symbolic links. Nothing but regular files is opened, so no FIFO or device notices.
ProgramFile read_program_file(const std::string &path);

}  // namespace taskwatch
