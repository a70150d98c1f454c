// SPDX-License-Identifier: MIT
#include "death.hpp"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "process_stat.hpp"
#include "sys.hpp"

namespace taskwatch {

bool is_dead(pid_t pid) {
    if (sys::call(SYS_kill, pid, 0) == -ESRCH) return true;
    siginfo_t info = {};
    return sys::call(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0) == 0 &&
           info.si_pid == pid;
}

pid_t parent_of_corpse(pid_t pid) {
    ProcessStat stat;
    return read_process_stat(pid, stat) && (stat.state == 'Z' || stat.state == 'X') ? stat.parent : 0;
}

bool runs_no_code(pid_t tid) { return tid <= 0 || is_dead(tid) || parent_of_corpse(tid) != 0; }

}  // namespace taskwatch
