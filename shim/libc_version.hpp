// SPDX-License-Identifier: MIT
// Which glibc this process runs with, for the few rules that have changed between its versions.
#pragma once

#include <gnu/libc-version.h>

namespace taskwatch {

// True before glibc 2.`minor`. Async-signal-safe.
inline bool libc_is_before(int minor) {
    const char *version = gnu_get_libc_version();  // "2.36"
    if (version[0] != '2' || version[1] != '.') return false;
    int own = 0;
    for (const char *digit = version + 2; *digit >= '0' && *digit <= '9'; digit++) own = own * 10 + (*digit - '0');
    return own < minor;
}

}  // namespace taskwatch
