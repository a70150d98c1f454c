// SPDX-License-Identifier: MIT
// The PATH search of execvp(3) and posix_spawnp(3), with glibc's rules: which candidate is tried next,
// which error is kept, when the shell is asked. No allocation, async-signal-safe, little stack.
#pragma once

#include <cstddef>

namespace taskwatch {

// What a search needs and the stack is too small for: mapped when first asked for, kept until release().
// A search in a child on its parent's memory leaves its mappings to the parent when the exec
// succeeds; the parent then releases them, so such a caller passes an object that both can see.
class PathMemory {
  public:
    // Room for the longest candidate, or for a vector of `entries` pointers (the same number each time).
    // Null if there is no memory.
    char *candidate();
    char **vector(size_t entries);
    void release();

  private:
    struct Mapping {
        void *address;
        size_t bytes;
    };
    static void *map(Mapping &mapping, size_t bytes);
    static void unmap(Mapping &mapping);
    Mapping candidate_ = {};
    Mapping vector_ = {};
};

struct PathSearch {
    const char *file;
    const char *path;     // value of PATH, null if unset (glibc's default is used)
    char *const *argv;
    char *const *envp;
    bool shell_fallback;  // ENOEXEC: run /bin/sh with the candidate as script
    // Replaces the image, returns a positive errno if that failed.
    int (*exec)(void *context, const char *path, char *const *argv, char *const *envp);
    void *context;
    PathMemory *memory = nullptr;  // null: the search releases what it maps, which is right after fork
};

// Returns a positive errno: what execvp would have set.
int path_search(const PathSearch &search);

// Runs /bin/sh with `script` and the arguments after argv[0], as execvp does for a file that is no
// program (ENOEXEC). Looks at argv, envp, exec and context of `search`. Returns a positive errno.
int run_by_shell(const PathSearch &search, const char *script, PathMemory &memory);

// Value of PATH in `environ` as it is now, or null. Own scan: a program may export its own getenv.
const char *current_path();

}  // namespace taskwatch
