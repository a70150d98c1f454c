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

// Variables of the library, its launcher and its tests: no watcher's options.
constexpr std::string_view taken[] = {"DISABLE", "FOLLOW",  "STRICT",  "QUIET",         "WATCHERS",
                                      "PATH",    "SESSION", "LIBRARY", "TESTS_MUST_RUN"};

const char *text(char *const *envp, const char *name) {
    const char *value = environment_value(envp, name);
    return value && *value ? value : nullptr;
}

// Without <cctype>: the program's locale has no say in the name of a variable.
char in_variable(char c) {
    if (c >= 'a' && c <= 'z') return char(c - 'a' + 'A');
    if ((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return c;
    return '_';
}

}  // namespace

Config read_config(char *const *envp, bool secure) {
    if (secure || environment_switch(envp, "TASKWATCH_DISABLE", false)) return {.disabled = true};
    return {
        .disabled = false,
        .follow = environment_switch(envp, "TASKWATCH_FOLLOW", true),
        .strict = environment_switch(envp, "TASKWATCH_STRICT", false),
        .quiet = environment_switch(envp, "TASKWATCH_QUIET", false),
        .watchers = text(envp, "TASKWATCH_WATCHERS"),
        .path = text(envp, "TASKWATCH_PATH"),
        .session = text(envp, "TASKWATCH_SESSION"),
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
    for (std::string_view reserved : taken)
        if (reserved == ret_name + prefix.size()) return EINVAL;
    return 0;
}

}  // namespace taskwatch
