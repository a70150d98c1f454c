// SPDX-License-Identifier: MIT
#include "strays.hpp"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process_stat.hpp"

namespace taskwatch {
namespace {

// struct pidfd_info of linux/pidfd.h, Linux 6.15; older kernels answer with an error.
struct PidfdInfo {
    uint64_t mask;
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
constexpr unsigned long get_info = _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, sizeof(PidfdInfo));
constexpr uint64_t has_exit_code = 1 << 3;

bool exit_status_of(int pidfd, int &ret_status) {
    PidfdInfo info = {};
    info.mask = has_exit_code;
    if (ioctl(pidfd, get_info, &info) != 0 || !(info.mask & has_exit_code)) return false;
    ret_status = info.exit_code;
    return true;
}

}  // namespace

void Strays::open() {
    rlimit limit = {};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit_ = limit.rlim_cur / 4 < capacity ? (unsigned)(limit.rlim_cur / 4) : capacity;
}

void Strays::watch(const Task &task, Events &events) {
    uint16_t &known = key_of_slot_[(task.slot - 1) % (1 << 15)];
    if (full() || (known && strays_[known - 1].pidfd && strays_[known - 1].task.id == task.id)) return;
    unsigned key = 0;
    while (strays_[key].pidfd) key++;
    int pidfd = (int)syscall(SYS_pidfd_open, task.pid, 0);
    if (pidfd < 0) return;
    // The number came from memory that others can write, and may be another process's by now.
    if (!is_process_of(task.pid, task.start_ns) || !events.watch(pidfd, key)) {
        close(pidfd);
        return;
    }
    strays_[key] = {.task = task, .pidfd = pidfd};
    known = (uint16_t)(key + 1);
    count_++;
}

bool Strays::ended(unsigned key, bool give_up, End &ret_end) {
    if (key >= capacity || !strays_[key].pidfd) return false;
    Stray &stray = strays_[key];
    ret_end = {.task = stray.task, .status = 0, .known = false};
    ret_end.known = exit_status_of(stray.pidfd, ret_end.status);
    stray.corpse = true;
    if (!ret_end.known && !give_up) return false;
    close(stray.pidfd);
    stray = {};
    count_--;
    return true;
}

int Strays::next_corpse(unsigned key) const {
    for (; key < capacity; key++)
        if (strays_[key].pidfd && strays_[key].corpse) return (int)key;
    return -1;
}

}  // namespace taskwatch
