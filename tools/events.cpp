// SPDX-License-Identifier: MIT
#include "events.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

namespace taskwatch {
namespace {

constexpr unsigned signals_key = ~0u;

sigset_t all_signals() {
    sigset_t all;
    sigfillset(&all);
    return all;
}

// Without descriptors.
Event wait_for_signal(int milliseconds) {
    sigset_t all = all_signals();
    timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    siginfo_t info = {};
    int number = sigtimedwait(&all, &info, &time);
    if (number <= 0) return {};
    return {.kind = Event::signal, .number = number, .code = info.si_code, .value = info.si_value.sival_int,
            .sender = info.si_pid};
}

}  // namespace

void Events::open() {
    sigset_t all = all_signals();
    poll_ = epoll_create1(EPOLL_CLOEXEC);
    signals_ = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    epoll_event readable = {.events = EPOLLIN, .data = {.u32 = signals_key}};
    if (poll_ >= 0 && signals_ >= 0 && epoll_ctl(poll_, EPOLL_CTL_ADD, signals_, &readable) == 0) return;
    if (poll_ >= 0) close(poll_);
    if (signals_ >= 0) close(signals_);
    poll_ = signals_ = -1;
}

Event Events::next_signal() {
    signalfd_siginfo info;
    if (read(signals_, &info, sizeof info) != sizeof info) return {};
    return {.kind = Event::signal, .number = (int)info.ssi_signo, .code = info.ssi_code, .value = info.ssi_int,
            .sender = (pid_t)info.ssi_pid};
}

Event Events::wait(int milliseconds) {
    if (poll_ < 0) return wait_for_signal(milliseconds);
    epoll_event event;
    if (epoll_wait(poll_, &event, 1, milliseconds) != 1) return {};
    if (event.data.u32 == signals_key) return next_signal();
    return {.kind = Event::end, .key = event.data.u32};
}

bool Events::watch(int pidfd, unsigned key) {
    epoll_event once = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u32 = key}};
    return poll_ >= 0 && epoll_ctl(poll_, EPOLL_CTL_ADD, pidfd, &once) == 0;
}

}  // namespace taskwatch
