// SPDX-License-Identifier: MIT
// From an item of TASKWATCH_WATCHERS to a file: a name is looked up in folders, a path is taken as it is.
#pragma once

#include <limits.h>

#include <string_view>

#include "line.hpp"
#include "watcher_file.hpp"

namespace taskwatch {

// Calls use(piece) for each non-empty piece of a list that ':' separates. `list` may be null.
template <typename Use>
void for_each_piece(const char *list, Use use) {
    std::string_view rest = list ? list : "";
    while (!rest.empty()) {
        size_t end = rest.find(':');
        std::string_view piece = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (!piece.empty()) use(piece);
    }
}

// True for 1 to 31 characters of [a-z0-9_-].
bool is_watcher_name(std::string_view text);
constexpr size_t max_watcher_name = 31;

// The name of a watcher that has no descriptor to tell it, from its path: lower case, other bytes '_', cut at
// 31 bytes ("/path/My.Watcher.so": "my_watcher").
void derive_watcher_name(std::string_view path, char (&ret_name)[max_watcher_name + 1]);

// What an errno means, in English whatever the program's locale.
const char *error_text(int error);

struct FoundWatcher {
    char path[PATH_MAX];
    WatcherFile file;
};

// Looks for `item`: the absolute folders of `folders` in their order (relative ones are skipped), then
// `own_folder`; both may be null. False: not there or not readable; then the reason and what would be
// accepted are appended to `why`. The first file of that name counts, fit or not.
[[nodiscard]] bool find_watcher(std::string_view item, const char *folders, const char *own_folder,
                                FoundWatcher &ret_found, Line &why);

// The path where find_watcher() would look: the first folder that has a file of that name, or `item` itself if it
// is a path. One system call a folder, nothing is opened. False: none has one.
[[nodiscard]] bool locate_watcher(std::string_view item, const char *folders, const char *own_folder,
                                  char (&ret_path)[PATH_MAX]);

}  // namespace taskwatch
