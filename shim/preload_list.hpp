// SPDX-License-Identifier: MIT
// LD_PRELOAD's value, edited the way ld.so(8) reads it: entries separated by ':' or ' ', empty ones skipped.
// What is not ours keeps its order and its separators.
//
// An ASan runtime that we name for a program's sake must not stay for that program's children: it would
// check their memory as well, and end those that have another ASan linked in. So ours is followed by an
// empty entry, "libasan.so.8::/usr/lib/libtaskwatch.so", and is known again by it. ld.so skips it; a list
// that a user wrote has a single ':' there.
#pragma once

#include <cstddef>
#include <string_view>

namespace taskwatch {

// The entries that mean us.
struct PreloadNames {
    const char *library = nullptr;  // what is written: an absolute path
    const char *alias = nullptr;    // what the user wrote, if that is something else
    bool alias_is_right = false;    // it means the same file from every folder: may stay

    bool is_us(std::string_view entry) const;
};

enum class PreloadEdit {
    include,  // name us, behind an ASan runtime that has to come first
    exclude,  // take us out, and the ASan runtime that was named for us
};

struct PreloadResult {
    size_t length;  // of the new value, without a NUL
    bool same;      // it is the old one
};

// Edits `value`. `first_library` ("" for none): the ASan runtime that the target needs first; used with
// `include`. A list that begins with an ASan runtime of the user's own gets us behind it: in front we would
// end the program. Writes at most `capacity` bytes to `out` (null: nothing); the result counts all.
// Async-signal-safe.
PreloadResult edit_preload(std::string_view value, const PreloadNames &names, PreloadEdit edit,
                           std::string_view first_library, char *out, size_t capacity);

}  // namespace taskwatch
