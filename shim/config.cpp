// SPDX-License-Identifier: MIT
// Reads the configuration. What the values mean is up to those who use them: startup, loader, ledger.
#include "config.hpp"

#include <cerrno>
#include <cstring>
#include <string_view>

#include "environment.hpp"

namespace taskwatch {
namespace {

constexpr std::string_view prefix = "TASKWATCH_";

// Variables of the library, its launcher and its tests: no watcher's options. The texts themselves: a table of
// pointers would be relocated in each process.
constexpr char taken[][16] = {"DISABLE", "FOLLOW",   "STRICT",  "QUIET",         "WATCHERS",
                              "PATH",    "SESSION",  "LAUNCHED", "LIBRARY", "TESTS_MUST_RUN"};

// Those that are read here: the first so many of `taken`.
enum { disable, follow, strict, quiet, watchers, path, session, launched, read_here };

// Their values: the first of each name, as getenv(3); null if unset or empty. One pass, in each process.
struct Values {
    const char *of[read_here] = {};

    explicit Values(char *const *envp) {
        bool seen[read_here] = {};
        for (; envp && *envp; envp++) {
            const char *entry = *envp;
            if (entry[0] != 'T' || std::strncmp(entry, prefix.data(), prefix.size()) != 0) continue;
            entry += prefix.size();
            for (int i = 0; i < read_here; i++) {
                size_t length = std::strlen(taken[i]);
                if (std::strncmp(entry, taken[i], length) != 0 || entry[length] != '=') continue;
                if (!seen[i] && entry[length + 1]) of[i] = entry + length + 1;
                seen[i] = true;
            }
        }
    }
    bool is_on(int i, bool otherwise) const { return of[i] ? std::strcmp(of[i], "0") != 0 : otherwise; }
};

// Without <cctype>: the program's locale has no say in the name of a variable.
char in_variable(char c) {
    if (c >= 'a' && c <= 'z') return char(c - 'a' + 'A');
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return c;
    return '_';
}

}  // namespace

Config read_config(char *const *envp, bool secure) {
    if (secure) return {.disabled = true};
    Values values(envp);
    if (values.is_on(disable, false)) return {.disabled = true};
    return {
        .disabled = false,
        .follow = values.is_on(follow, true),
        .strict = values.is_on(strict, false),
        .quiet = values.is_on(quiet, false),
        .watchers = values.of[watchers],
        .path = values.of[path],
        .session = values.of[session],
        .launched = values.of[launched],
    };
}

int option_variable(const char *watcher, char (&ret_name)[64]) {
    std::string_view name = watcher;
    name.remove_prefix(name.rfind('/') + 1);
    if (name.ends_with(".so")) name.remove_suffix(3);
    if (name.empty()) return EINVAL;
    if (prefix.size() + name.size() >= sizeof ret_name) return ENAMETOOLONG;
    std::memcpy(ret_name, prefix.data(), prefix.size());
    char *to = ret_name + prefix.size();
    for (char c : name) *to++ = in_variable(c);
    *to = '\0';
    for (const char *reserved : taken)
        if (std::strcmp(reserved, ret_name + prefix.size()) == 0) return EINVAL;
    return 0;
}

}  // namespace taskwatch
