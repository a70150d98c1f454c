// SPDX-License-Identifier: MIT
// The child's steps, in glibc's order (sysdeps/unix/sysv/linux/spawni.c), after the one that is ours: to
// be held. It runs on the parent's stack, memory and thread-local storage with all signals blocked,
// and never returns. The stack protector's canary is thereby the right one.
#include "spawn_child.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace taskwatch {

namespace {

using sys::call;

constexpr int failure_status = 127;  // posix_spawn(3)
constexpr sys::SignalMask internal_signals = sys::signal_bit(32) | sys::signal_bit(33);

struct KernelAction {
    void *handler;
    unsigned long flags;
    void *restorer;
    sys::SignalMask mask;
};

int error_of(long result) { return result < 0 ? int(-result) : 0; }

sys::SignalMask mask_of(const sigset_t &set) {
    sys::SignalMask mask;
    memcpy(&mask, &set, sizeof mask);
    return mask;
}

void set_disposition(int signal, void (*handler)(int)) {
    KernelAction action = {reinterpret_cast<void *>(handler), 0, nullptr, 0};
    call(SYS_rt_sigaction, signal, &action, nullptr, sizeof action.mask);
}

// A handler of the parent's must not survive: the signal mask is restored before the exec. (An exec
// would drop handlers as well, but a signal between the two would run one on the parent's memory.)
void clear_handlers() {
    for (int signal = 1; signal <= 64; signal++) {
        KernelAction action = {};
        call(SYS_rt_sigaction, signal, nullptr, &action, sizeof action.mask);
        if (action.handler != reinterpret_cast<void *>(SIG_IGN)) set_disposition(signal, SIG_DFL);
    }
}

void set_dispositions(const SpawnAttempt &attempt, const posix_spawnattr_t *attributes, int flags) {
    if (!attempt.handlers_cleared) clear_handlers();
    if (attempt.internal_signals_ignored) {
        set_disposition(32, SIG_IGN);
        set_disposition(33, SIG_IGN);
    }
    if (!(flags & POSIX_SPAWN_SETSIGDEF)) return;
    for (sys::SignalMask left = mask_of(attributes->__sd); left; left &= left - 1)
        set_disposition(__builtin_ctzll(left) + 1, SIG_DFL);
}

int apply_attributes(const posix_spawnattr_t *attributes, int flags) {
    long result = 0;
    if (flags & POSIX_SPAWN_SETSCHEDULER)
        result = call(SYS_sched_setscheduler, 0, attributes->__policy, &attributes->__sp);
    else if (flags & POSIX_SPAWN_SETSCHEDPARAM)
        result = call(SYS_sched_setparam, 0, &attributes->__sp);
    if (result >= 0 && flags & POSIX_SPAWN_SETSID) result = call(SYS_setsid);
    if (result >= 0 && flags & POSIX_SPAWN_SETPGROUP) result = call(SYS_setpgid, 0, attributes->__pgrp);
    if (result >= 0 && flags & POSIX_SPAWN_RESETIDS) {
        result = call(sys::nr_setresuid, -1, call(sys::nr_getuid), -1);
        if (result >= 0) result = call(sys::nr_setresgid, -1, call(sys::nr_getgid), -1);
    }
    return error_of(result);
}

// Closing what is not open is no error, closing what cannot be is.
int do_close(int fd) {
    long result = call(SYS_close, fd);
    if (result >= 0) return 0;
    rlimit limit = {};
    call(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit);
    return fd < 0 || rlim_t(fd) >= limit.rlim_cur ? error_of(result) : 0;
}

int do_dup2(int from, int to) {
    if (from != to) return error_of(call(SYS_dup3, from, to, 0));
    // POSIX: the same number twice means "keep it over the exec".
    long flags = call(SYS_fcntl, from, F_GETFD, 0);
    if (flags >= 0) flags = call(SYS_fcntl, from, F_SETFD, flags & ~FD_CLOEXEC);
    return error_of(flags);
}

int do_open(const FileAction &action) {
    const auto &[wanted, path, flags, mode] = action.with.open;
    // First, so that the number is free even at the limit of descriptors.
    call(SYS_close, wanted);
    long fd = call(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd < 0 || fd == wanted) return error_of(fd);
    long result = call(SYS_dup3, fd, wanted, 0);
    if (result >= 0) result = call(SYS_close, fd);
    return error_of(result);
}

// The number in a name of /proc/self/fd, -1 for "." and "..".
int descriptor_in(const char *name) {
    int fd = 0;
    for (; *name >= '0' && *name <= '9'; name++) fd = fd * 10 + (*name - '0');
    return *name ? -1 : fd;
}

// For kernels before 5.9, which have no close_range. Not inlined: its buffer would be on the stack of every
// child (R10).
[[gnu::noinline]] int close_listed(int lowest) {
    long directory = call(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY, 0);
    if (directory < 0) return error_of(directory);
    alignas(dirent64) char buffer[512];
    long bytes;
    // The position in this folder is the descriptor's number, so closing moves nothing that is yet to come.
    while ((bytes = call(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < bytes;) {
            const auto *entry = reinterpret_cast<const dirent64 *>(buffer + at);
            at += entry->d_reclen;
            int fd = descriptor_in(entry->d_name);
            if (fd >= lowest && fd != directory) call(SYS_close, fd);
        }
    }
    call(SYS_close, directory);
    return error_of(bytes);
}

int do_closefrom(int lowest) {
    return call(SYS_close_range, lowest, ~0U, 0) < 0 ? close_listed(lowest) : 0;
}

int do_tcsetpgrp(int fd, const posix_spawnattr_t *attributes, int flags) {
    pid_t group = flags & POSIX_SPAWN_SETPGROUP ? attributes->__pgrp : 0;
    if (!group) group = pid_t(call(SYS_getpgid, 0));
    return error_of(call(SYS_ioctl, fd, TIOCSPGRP, &group));
}

int apply(const FileAction &action, const posix_spawnattr_t *attributes, int flags) {
    switch (action.tag) {
        case FileAction::close: return do_close(action.with.fd);
        case FileAction::dup2: return do_dup2(action.with.dup2.from, action.with.dup2.to);
        case FileAction::open: return do_open(action);
        case FileAction::chdir: return error_of(call(SYS_chdir, action.with.path));
        case FileAction::fchdir: return error_of(call(SYS_fchdir, action.with.fd));
        case FileAction::closefrom: return do_closefrom(action.with.fd);
        case FileAction::tcsetpgrp: return do_tcsetpgrp(action.with.fd, attributes, flags);
        default: return ENOSYS;  // spawn_can_do() was not asked
    }
}

int exec(const SpawnRequest &request, PathMemory &memory) {
    const PathSearch search = {
        .file = request.file,
        .path = request.search_path ? current_path() : nullptr,
        .argv = request.argv,
        .envp = request.envp,
        .shell_fallback = false,
        .exec = request.exec,
        .context = request.context,
        .memory = &memory,
    };
    int error = request.search_path ? path_search(search)
                                    : request.exec(request.context, request.file, request.argv, request.envp);
    // An oddity to keep: the old posix_spawnp gives the shell the name as it was asked for, not as found.
    if (error == ENOEXEC && request.shell_fallback) error = run_by_shell(search, request.file, memory);
    return error;
}

// Returns why there is no new image, a positive errno.
int take_steps(SpawnAttempt &attempt) {
    const SpawnRequest &request = *attempt.request;
    // An emulator that makes a fork of this (qemu-user, valgrind) leaves attempt.pid to the parent.
    int error = request.held(request.context, attempt.pid ? attempt.pid : sys::getpid());
    attempt.vetoed = error != 0;
    if (error) return error;

    const posix_spawnattr_t *attributes = request.attributes;
    const int flags = attributes ? attributes->__flags : 0;
    set_dispositions(attempt, attributes, flags);
    if ((error = apply_attributes(attributes, flags))) return error;

    const int count = request.actions ? request.actions->__used : 0;
    const auto *actions = count ? reinterpret_cast<const FileAction *>(request.actions->__actions) : nullptr;
    for (int i = 0; i < count; i++)
        if ((error = apply(actions[i], attributes, flags))) return error;

    // libc's own signals can be blocked by nobody who goes through libc.
    sys::set_signal_mask((flags & POSIX_SPAWN_SETSIGMASK ? mask_of(attributes->__ss) : attempt.mask) &
                         ~internal_signals);
    return exec(request, attempt.memory);
}

}  // namespace

void run_spawn_child(void *shared) {
    auto &attempt = *static_cast<SpawnAttempt *>(shared);
    int error = take_steps(attempt);
    attempt.error = error > 0 ? error : ECHILD;  // as glibc says when nobody gave a reason
    for (;;) call(SYS_exit_group, failure_status);
}

}  // namespace taskwatch
