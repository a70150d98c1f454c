// SPDX-License-Identifier: MIT
#include "death.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "sys.hpp"

namespace taskwatch {

bool is_dead(pid_t pid) {
    if (sys::call(SYS_kill, pid, 0) == -ESRCH) return true;
    siginfo_t info = {};
    return sys::call(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0) == 0 &&
           info.si_pid == pid;
}

// From /proc/PID/stat: "12 (name) Z 1 ...".
pid_t parent_of_corpse(pid_t pid) {
    char path[32] = "/proc/", text[128];
    char *p = path + 6, digits[12];
    int n = 0;
    for (unsigned rest = (unsigned)pid; rest; rest /= 10) digits[n++] = char('0' + rest % 10);
    while (n) *p++ = digits[--n];
    memcpy(p, "/stat", 6);
    long fd = sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long length = sys::call(SYS_read, fd, text, sizeof text - 1);
    sys::call(SYS_close, fd);
    text[length > 0 ? length : 0] = '\0';
    const char *state = strrchr(text, ')');
    if (!state || state[1] != ' ' || (state[2] != 'Z' && state[2] != 'X') || state[3] != ' ') return 0;
    pid_t parent = 0;
    for (state += 4; *state >= '0' && *state <= '9'; state++) parent = parent * 10 + (*state - '0');
    return parent;
}

bool runs_no_code(pid_t tid) { return tid <= 0 || is_dead(tid) || parent_of_corpse(tid) != 0; }

}  // namespace taskwatch
