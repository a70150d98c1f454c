// SPDX-License-Identifier: MIT
#include "process_stat.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "sys.hpp"

namespace taskwatch {
namespace {

uint64_t read_number(const char *text) {
    uint64_t number = 0;
    for (; *text >= '0' && *text <= '9'; text++) number = number * 10 + (unsigned)(*text - '0');
    return number;
}

}  // namespace

// "12 (name) Z 1 ...": the name may hold anything, a parenthesis and blanks included. The start is the 22nd field.
bool read_process_stat(pid_t pid, ProcessStat &ret_stat) {
    char path[32] = "/proc/", text[512];
    char *p = path + 6, digits[12];
    int n = 0;
    for (unsigned rest = (unsigned)pid; rest; rest /= 10) digits[n++] = char('0' + rest % 10);
    while (n) *p++ = digits[--n];
    memcpy(p, "/stat", 6);
    long fd = sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return false;
    long length = sys::call(SYS_read, fd, text, sizeof text - 1);
    sys::call(SYS_close, fd);
    text[length > 0 ? length : 0] = '\0';
    const char *field = strrchr(text, ')');
    if (!field || field[1] != ' ' || !field[2] || field[3] != ' ') return false;
    ret_stat.state = field[2];
    ret_stat.parent = (pid_t)read_number(field + 4);
    int blanks = 22 - 2;
    for (; *field && blanks; field++) blanks -= *field == ' ';
    ret_stat.start_ns = blanks ? 0 : read_number(field) * tick_ns;
    return true;
}

bool is_process_of(pid_t pid, uint64_t start_ns) {
    if (pid <= 0 || sys::call(SYS_kill, pid, 0) == -ESRCH) return false;
    ProcessStat stat;
    return !read_process_stat(pid, stat) || !stat.is_younger(start_ns);
}

}  // namespace taskwatch
