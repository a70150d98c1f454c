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

bool runs_no_code(pid_t tid, uint64_t start_ns) {
    if (tid <= 0 || is_dead(tid)) return true;
    ProcessStat stat;
    return read_process_stat(tid, stat) && (stat.is_corpse() || stat.is_younger(start_ns));
}

}  // namespace taskwatch
