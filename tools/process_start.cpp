// SPDX-License-Identifier: MIT
#include "process_start.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace taskwatch {
namespace {

// Field 22 of proc(5)'s /proc/PID/stat, in nanoseconds; 0: not to be had. The name in field 2 may hold anything.
uint64_t start_of(pid_t pid) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *field = strrchr(text, ')');
    for (int n = 2; field && n < 22; n++) field = strchr(field + 1, ' ');
    return field ? strtoull(field, nullptr, 10) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK)) : 0;
}

}  // namespace

bool is_process_of(pid_t pid, uint64_t start_ns) {
    if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH)) return false;
    uint64_t tick = 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    return start_of(pid) <= start_ns + tick;
}

}  // namespace taskwatch
