// SPDX-License-Identifier: MIT
// Exported: syscall, its half in C++: what the system calls mean that make, replace, re-identify and end
// tasks. Everything else never comes here (wrap_syscall.S). The system call itself stays raw: no atfork
// handlers, the calling thread's ids alone, no cancellation point.
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdarg>

#include "export.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "system_call.hpp"
#include "system_clone.hpp"
#include "true_end.hpp"

using namespace taskwatch;

namespace {

// What a genuine function leaves: lifecycle's calls are written for libc's.
long with_errno(long result) {
    if (result >= 0 || result < -4095) return result;
    errno = (int)-result;
    return -1;
}

Next done(SystemCall &c, long result) {
    c.result = result;
    return Next::done;
}

// --- images

int exec_genuinely(const ImageCall &call, const char *path, char *const *argv, char *const *envp) {
    return (int)with_errno(call.flags == 0 && call.directory == AT_FDCWD
                               ? sys::call(SYS_execve, path, argv, envp)
                               : sys::call(SYS_execveat, call.directory, path, argv, envp, call.flags));
}

Next replace(SystemCall &c, const char *name, int directory, const long *path_argv_envp, int flags) {
    ImageCall call{.name = name,
                   .directory = directory,
                   .path = reinterpret_cast<const char *>(path_argv_envp[0]),
                   .flags = flags,
                   .search = false,
                   .argv = reinterpret_cast<char *const *>(path_argv_envp[1]),
                   .envp = reinterpret_cast<char *const *>(path_argv_envp[2]),
                   .genuine = exec_genuinely};
    replace_image(call);
    return done(c, -errno);
}

// --- ids

Next change(SystemCall &c, const char *name, uint32_t event, bool reads_back = false) {
    const bool is_setuid = name[7] == 'u';  // "SYS_setuid"
    int result = change_ids({.name = name,
                             .event = event,
                             .reads_back = reads_back,
                             .filesystem_id = (uid_t)c.a[0],
                             .real = reads_back ? (uid_t)-1 : (uid_t)c.a[0],
                             .effective = reads_back ? (uid_t)-1 : (uid_t)c.a[!is_setuid],
                             .is_setuid = is_setuid,
                             .genuine = [](void *call) { return (int)with_errno(static_cast<SystemCall *>(call)->make()); },
                             .context = &c});
    // setfsuid returns an id, however large.
    return done(c, reads_back ? (long)(uid_t)result : result < 0 ? -errno : result);
}

// --- ends

// The last thread's end is the process's. Our own count knows neither the threads that nobody wanted to know of
// nor those of clone: taking them for gone would park them for good (park_if_ending).
bool is_alone(Task &task) {
    if (task.tgid != process.main.tgid) return false;
    if (process.live_threads.fetch_sub(1, std::memory_order_acq_rel) > 1) return false;
    struct statx of_threads;
    if (process.quiet || sys::call(SYS_statx, AT_FDCWD, "/proc/self/task", 0, STATX_NLINK, &of_threads) != 0) return true;
    return of_threads.stx_nlink <= 3;  // ".", ".." and this one
}

// Not for the thread of a process that is no task of its own here: what ends is not the process.
Next end_thread(SystemCall &c) {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return Next::forward;
    int saved_errno = errno;
    Task &task = identify(thread);
    int status = ((int)c.a[0] & 0xff) << 8;
    if (thread.in_vfork_child() || thread.foreign_tls)
        end_task(thread, task, "SYS_exit", status, false);
    else if (&task != &process.main || thread.tid == task.pid || process.quiet)
        end_task(thread, task, "SYS_exit", status, is_alone(task));
    if (thread.foreign_tls) leave_foreign_tls(thread);
    errno = saved_errno;
    return Next::forward;
}

Next end_process(SystemCall &c) {
    park_if_ending();
    end_here("SYS_exit_group", (int)c.a[0]);
    return Next::forward;
}

// --- sandbox

Next install_filter(SystemCall &c, bool returns_listener) {
    before_filter();
    long result = c.make();
    // A positive result is a listener's descriptor, or the thread that could not be brought along (TSYNC).
    after_filter(result == 0 || (result > 0 && returns_listener));
    return done(c, result);
}

Next decide(SystemCall &c) {
    switch ((unsigned)c.number) {
        case SYS_clone: return begin_system_clone(c, "SYS_clone", clone_arguments(c));
        case SYS_clone3: return begin_system_clone3(c);
        case SYS_execveat: return replace(c, "SYS_execveat", (int)c.a[0], c.a + 1, (int)c.a[4]);
        case SYS_execve: return replace(c, "SYS_execve", AT_FDCWD, c.a, 0);
        case SYS_exit: return end_thread(c);
        case SYS_exit_group: return end_process(c);
#if defined(__i386__)
        // The others are the calls of 16-bit ids. libc's wait functions use wait4 here too.
        case SYS_setuid32: return change(c, "SYS_setuid", WATCH_TASK_UID);
        case SYS_setreuid32: return change(c, "SYS_setreuid", WATCH_TASK_UID);
        case SYS_setresuid32: return change(c, "SYS_setresuid", WATCH_TASK_UID);
        case SYS_setfsuid32: return change(c, "SYS_setfsuid", WATCH_TASK_UID, true);
        case SYS_setgid32: return change(c, "SYS_setgid", WATCH_TASK_GID);
        case SYS_setregid32: return change(c, "SYS_setregid", WATCH_TASK_GID);
        case SYS_setresgid32: return change(c, "SYS_setresgid", WATCH_TASK_GID);
        case SYS_setfsgid32: return change(c, "SYS_setfsgid", WATCH_TASK_GID, true);
        case SYS_waitpid: c.a[3] = 0; return done(c, wait_raw(c));
#endif
        case SYS_setuid: return change(c, "SYS_setuid", WATCH_TASK_UID);
        case SYS_setreuid: return change(c, "SYS_setreuid", WATCH_TASK_UID);
        case SYS_setresuid: return change(c, "SYS_setresuid", WATCH_TASK_UID);
        case SYS_setfsuid: return change(c, "SYS_setfsuid", WATCH_TASK_UID, true);
        case SYS_setgid: return change(c, "SYS_setgid", WATCH_TASK_GID);
        case SYS_setregid: return change(c, "SYS_setregid", WATCH_TASK_GID);
        case SYS_setresgid: return change(c, "SYS_setresgid", WATCH_TASK_GID);
        case SYS_setfsgid: return change(c, "SYS_setfsgid", WATCH_TASK_GID, true);
        case SYS_wait4: return done(c, wait_raw(c));
        case SYS_waitid: return done(c, waitid_raw(c));
        case SYS_prctl: return c.a[0] == PR_SET_SECCOMP ? install_filter(c, false) : Next::forward;
        case SYS_seccomp:
            if (c.a[0] != SECCOMP_SET_MODE_STRICT && c.a[0] != SECCOMP_SET_MODE_FILTER) return Next::forward;
            return install_filter(c, c.a[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER);
#ifdef SYS_fork
        case SYS_fork: return begin_system_clone(c, "SYS_fork", {.flags = SIGCHLD});
        case SYS_vfork: return begin_system_clone(c, "SYS_vfork", {.flags = CLONE_VM | CLONE_VFORK | SIGCHLD});
#endif
    }
    return Next::forward;
}

}  // namespace

#if defined(__x86_64__)

extern "C" [[gnu::visibility("hidden")]] Next taskwatch_system_call(SystemCall *c) { return decide(*c); }

#else

// Without assembly for this machine: no child that comes back on another stack or on its creator's is told of.
EXPORT long syscall(long number, ...) noexcept {
    SystemCall c;
    c.number = number;
    va_list rest;
    va_start(rest, number);
    // All six, as libc does: what is not there is not read by the kernel.
    for (long &argument : c.a) argument = va_arg(rest, long);
    va_end(rest);
    if (decide(c) != Next::done) return real::syscall(number, c.a[0], c.a[1], c.a[2], c.a[3], c.a[4], c.a[5]);
    return with_errno(c.result);
}

#endif
