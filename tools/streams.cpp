// SPDX-License-Identifier: MIT
#include "streams.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace taskwatch {
namespace {

int open_again(int number, int flags) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", number);
    return open(path, flags | O_CLOEXEC);
}

void keep_name_only(int number) {
    struct stat st;
    if (fstat(number, &st) != 0 || S_ISREG(st.st_mode)) return;
    int named = open_again(number, O_PATH);
    if (named < 0) {
        close(number);
        return;
    }
    dup3(named, number, O_CLOEXEC);
    close(named);
}

}  // namespace

void let_go_of_streams() {
    close(0);
    keep_name_only(1);
    keep_name_only(2);
    if (syscall(SYS_close_range, 3, ~0U, 0) != 0)
        for (int number = 3; number < 1024; number++) close(number);
    // Nothing that is opened later must get one of their numbers.
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (null >= 0 && null < 3) null = dup(null);
    if (null >= 3) close(null);
    if (chdir("/") != 0) return;
}

bool is_pipe_without_writer(int number) {
    struct stat st;
    if (fstat(number, &st) != 0 || !S_ISFIFO(st.st_mode)) return false;
    // As one more reader, which takes nothing out of it.
    pollfd pipe = {open_again(number, O_RDONLY | O_NONBLOCK), 0, 0};
    if (pipe.fd < 0) return false;
    bool ended = poll(&pipe, 1, 0) == 1 && (pipe.revents & POLLHUP);
    close(pipe.fd);
    return ended;
}

}  // namespace taskwatch
