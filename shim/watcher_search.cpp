// SPDX-License-Identifier: MIT
// Names, folders and paths of watchers. What the file found is good for is in watcher_file.cpp.
#include "watcher_search.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "real.hpp"
#include "sys.hpp"

namespace taskwatch {

namespace {

bool is_name_character(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; }

// Looked for when it is needed: an import of a version of its own is checked in each process.
constexpr real::Genuine<const char *(int), "strerrordesc_np", ""> description_of;

bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

void say_unreadable(int error, Line &why) {
    why << error_text(error) << "; every program of the session must be able to read it";
}

bool take_path(std::string_view path, FoundWatcher &ret_found, Line &why) {
    if (path[0] != '/') {
        why << "a relative path; give an absolute one";
        return false;
    }
    if (path.size() >= sizeof ret_found.path) {
        why << "the path is too long; at most " << sizeof ret_found.path - 1 << " bytes";
        return false;
    }
    ret_found.path[path.copy(ret_found.path, path.size())] = '\0';
    int error = inspect_watcher(ret_found.path, ret_found.file);
    if (is_missing(error)) {
        why << "no such file; give the path of a shared object";
        // "/tmp/a:b/mine.so" arrives here as "/tmp/a".
        if (!path.ends_with(".so")) why << ", without a ':' in it: that separates watchers";
    } else if (error != 0) {
        say_unreadable(error, why);
    }
    return error == 0;
}

// ENOENT: look elsewhere.
int try_folder(std::string_view folder, std::string_view name, FoundWatcher &ret_found) {
    char *end = ret_found.path;
    if (folder[0] != '/' || folder.size() + name.size() + sizeof "/.so" > sizeof ret_found.path)
        return ENOENT;
    end += folder.copy(end, folder.size());
    *end++ = '/';
    end += name.copy(end, name.size());
    memcpy(end, ".so", sizeof ".so");
    int error = inspect_watcher(ret_found.path, ret_found.file);
    return is_missing(error) ? ENOENT : error;
}

bool search_folders(std::string_view name, const char *folders, const char *own_folder,
                    FoundWatcher &ret_found, Line &why) {
    int error = ENOENT;
    for_each_piece(folders, [&](std::string_view folder) {
        if (error == ENOENT) error = try_folder(folder, name, ret_found);
    });
    if (error == ENOENT && own_folder) error = try_folder(own_folder, name, ret_found);
    if (error == 0) return true;

    if (error != ENOENT) {
        why << ret_found.path << ": ";
        say_unreadable(error, why);
    } else if (folders == nullptr && own_folder == nullptr) {
        why << "no folder to look in; set TASKWATCH_PATH or give an absolute path";
    } else {
        why << "no " << name << ".so in " << (folders ? "TASKWATCH_PATH" : "");
        why << (folders && own_folder ? " or " : "") << (own_folder ? own_folder : "");
        why << "; 'taskwatch --list' shows what there is";
    }
    return false;
}

}  // namespace

const char *error_text(int error) {
    auto describe = description_of.get();
    const char *text = describe ? describe(error) : nullptr;
    return text ? text : "unknown error";
}

bool is_watcher_name(std::string_view text) {
    for (char c : text)
        if (!is_name_character(c)) return false;
    return !text.empty() && text.size() <= max_watcher_name;
}

void derive_watcher_name(std::string_view path, char (&ret_name)[max_watcher_name + 1]) {
    if (size_t slash = path.rfind('/'); slash != std::string_view::npos) path.remove_prefix(slash + 1);
    if (path.ends_with(".so")) path.remove_suffix(3);
    size_t length = 0;
    for (char c : path.substr(0, max_watcher_name)) {
        if (c >= 'A' && c <= 'Z') c = char(c - 'A' + 'a');
        ret_name[length++] = is_name_character(c) ? c : '_';
    }
    ret_name[length] = '\0';
}

bool find_watcher(std::string_view item, const char *folders, const char *own_folder, FoundWatcher &ret_found,
                  Line &why) {
    if (item.find('/') != std::string_view::npos) return take_path(item, ret_found, why);
    if (is_watcher_name(item)) return search_folders(item, folders, own_folder, ret_found, why);
    why << "not a name; a name is 1 to 31 characters of a-z 0-9 _ -, a path is absolute";
    return false;
}

bool locate_watcher(std::string_view item, const char *folders, const char *own_folder, char (&ret_path)[PATH_MAX]) {
    if (item[0] == '/') {
        if (item.size() >= sizeof ret_path) return false;
        ret_path[item.copy(ret_path, item.size())] = '\0';
        return true;
    }
    if (!is_watcher_name(item)) return false;
    bool found = false;
    auto look = [&](std::string_view folder) {
        if (found || folder[0] != '/' || folder.size() + item.size() + sizeof "/.so" > sizeof ret_path) return;
        char *end = ret_path + folder.copy(ret_path, folder.size());
        *end++ = '/';
        end += item.copy(end, item.size());
        memcpy(end, ".so", sizeof ".so");
        found = !is_missing(int(-sys::call(SYS_faccessat, AT_FDCWD, ret_path, F_OK)));
    };
    for_each_piece(folders, look);
    if (own_folder && *own_folder) look(own_folder);
    return found;
}

}  // namespace taskwatch
