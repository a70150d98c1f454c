// SPDX-License-Identifier: MIT
// Exported: wordexp. It runs commands only for `$(` and backquotes, and libc itself can say beforehand whether it
// would: with WRDE_NOCMD it fails exactly if it would run one. INIT is told then, once for a call.
//
// The commands themselves are libc's, made by internal calls: they are not held, CLONE is not told, and each is
// adopted when it execs.
#include <wordexp.h>

#include <cstring>

#include "export.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "watched_spawn.hpp"

using namespace taskwatch;

namespace {

bool mentions_command(const char *words) { return strchr(words, '`') || strstr(words, "$("); }

// `${NAME:=word}` assigns and `${NAME:?word}` prints: expanding such words to ask would do that twice.
bool has_side_effects(const char *words) {
    const char *braces = strstr(words, "${");
    return braces && strpbrk(braces, "=?");
}

bool would_run_command(const char *words, int flags) {
    if (flags & WRDE_NOCMD || !mentions_command(words)) return false;
    if (has_side_effects(words)) return true;
    wordexp_t scratch = {};
    int result = real::wordexp(words, &scratch, (flags & WRDE_UNDEF) | WRDE_NOCMD);
    // Without memory it leaves what it had so far.
    if (result == 0 || result == WRDE_NOSPACE) wordfree(&scratch);
    return result == WRDE_CMDSUB;
}

}  // namespace

EXPORT int wordexp(const char *words, wordexp_t *result, int flags) {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return real::wordexp(words, result, flags);
    int saved_errno = errno;
    int error = would_run_command(words, flags) ? tell_without_hold("wordexp", thread) : 0;
    errno = saved_errno;
    return error ? WRDE_NOSPACE : real::wordexp(words, result, flags);
}
