// SPDX-License-Identifier: MIT
// Exported: the exec family. The l-forms are turned into the v-forms, the p-forms search PATH here, since
// libc's own would call an execve that we do not see.
#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>

#include "export.hpp"
#include "lifecycle.hpp"
#include "real.hpp"

using namespace taskwatch;

namespace {

int by_path(const ImageCall &, const char *path, char *const *argv, char *const *envp) {
    return real::execve(path, argv, envp);
}
int by_descriptor(const ImageCall &call, const char *, char *const *argv, char *const *envp) {
    return real::fexecve(call.directory, argv, envp);
}
int by_directory(const ImageCall &call, const char *path, char *const *argv, char *const *envp) {
    return real::execveat(call.directory, path, argv, envp, call.flags);
}

int path_call(const char *name, const char *path, bool search, char *const *argv, char *const *envp) {
    return replace_image({.name = name,
                          .directory = AT_FDCWD,
                          .path = path,
                          .flags = 0,
                          .search = search,
                          .argv = argv,
                          .envp = envp,
                          .genuine = by_path});
}

}  // namespace

EXPORT int execve(const char *path, char *const *argv, char *const *envp) noexcept {
    return path_call("execve", path, false, argv, envp);
}
EXPORT int execv(const char *path, char *const *argv) noexcept {
    return path_call("execv", path, false, argv, environ);
}
EXPORT int execvp(const char *file, char *const *argv) noexcept {
    return path_call("execvp", file, true, argv, environ);
}
EXPORT int execvpe(const char *file, char *const *argv, char *const *envp) noexcept {
    return path_call("execvpe", file, true, argv, envp);
}
EXPORT int fexecve(int fd, char *const *argv, char *const *envp) noexcept {
    return replace_image({.name = "fexecve",
                          .directory = fd,
                          .path = "",
                          .flags = AT_EMPTY_PATH,
                          .search = false,
                          .argv = argv,
                          .envp = envp,
                          .genuine = by_descriptor});
}
EXPORT int execveat(int directory, const char *path, char *const *argv, char *const *envp, int flags) noexcept {
    return replace_image({.name = "execveat",
                          .directory = directory,
                          .path = path,
                          .flags = flags,
                          .search = false,
                          .argv = argv,
                          .envp = envp,
                          .genuine = by_directory});
}

// The arguments as a vector on the stack, as libc does it: no malloc, and a vfork child may call these.
#define EXEC_LIST(name, search, environment)                                        \
    va_list list;                                                                   \
    va_start(list, arg);                                                            \
    size_t count = 1;                                                               \
    for (const char *a = arg; a; a = va_arg(list, const char *)) count++;           \
    va_end(list);                                                                   \
    auto **argv = static_cast<char **>(__builtin_alloca(count * sizeof(char *)));   \
    va_start(list, arg);                                                            \
    argv[0] = const_cast<char *>(arg);                                              \
    for (size_t i = 1; i < count; i++) argv[i] = va_arg(list, char *);              \
    char *const *envp = environment;                                                \
    va_end(list);                                                                   \
    return path_call(name, path, search, argv, envp)

EXPORT int execl(const char *path, const char *arg, ...) noexcept { EXEC_LIST("execl", false, environ); }
EXPORT int execlp(const char *path, const char *arg, ...) noexcept { EXEC_LIST("execlp", true, environ); }
// The environment comes after the terminating null, which the loop above has consumed.
EXPORT int execle(const char *path, const char *arg, ...) noexcept {
    EXEC_LIST("execle", false, (count == 1 ? (void)0 : (void)0, va_arg(list, char *const *)));
}
