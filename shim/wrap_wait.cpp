// SPDX-License-Identifier: MIT
// Exported: the wait family. A stopped child is hidden from it, and a child that could not tell its own end
// gets EXIT and FREE before the program learns of it.
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

#include "export.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "spawn.hpp"
#include "system_call.hpp"
#include "veto.hpp"

using namespace taskwatch;

namespace {

// True if the program may see this result.
bool account(pid_t pid, const int *status, bool reaped, const char *call, const struct rusage *usage) {
    if (pid <= 0) return true;
    reaped = reaped && (WIFEXITED(*status) || WIFSIGNALED(*status));
    if (veto_any_hidden() && (reaped ? veto_hides(pid) : veto_would_hide(pid))) return false;
    if (self().in_callback || !wanted(mask_life)) return true;
    if (WIFEXITED(*status) || WIFSIGNALED(*status)) {
        int saved_errno = errno;
        end_reaped_child(pid, *status, call, usage);
        errno = saved_errno;
    }
    return true;
}

// A child of our own spawn that was killed before its exec is shown to nobody but __WALL: the genuine call
// says ECHILD for it. `which` as in waitpid(2); a pid, or -1, 0 and groups, for which any such child may be meant.
pid_t wait_for_unseen(pid_t which, int *status, int options, struct rusage *usage) {
    if (!spawn_died_unseen(which > 0 ? which : -1)) return -1;
    pid_t pid = real::wait4(which, status, options | __WALL, usage);
    if (pid > 0) spawn_forget_unseen(pid);
    return pid;
}

// The program's pointers may be null; ours never are, and a word is untouched when nothing is seen. What the
// kernel counted for a child comes with its reaping or never: it is asked for where the program does not.
template <typename Wait>
pid_t wait_for(const char *call, pid_t which, int *status, int options, struct rusage *usage, Wait genuine) {
    struct rusage counted;
    bool ask = !usage && wants_usage();
    if (ask) usage = &counted;
    for (;;) {
        int own = 0;
        pid_t pid = ask ? real::wait4(which, &own, options, usage) : genuine(&own);
        if (pid == -1 && errno == ECHILD) pid = wait_for_unseen(which, &own, options, usage);
        if (!account(pid, &own, true, call, usage)) continue;
        if (pid > 0 && status) *status = own;
        return pid;
    }
}

int raw_status(const siginfo_t &info) {
    switch (info.si_code) {
        case CLD_EXITED: return (info.si_status & 0xff) << 8;
        case CLD_KILLED: return info.si_status & 0x7f;
        case CLD_DUMPED: return (info.si_status & 0x7f) | 0x80;
        default: return 0x7f;  // stopped or continued: not an end
    }
}

// One look: ECHILD once more for those whom only __WALL shows.
template <typename Look>
long look_again(Look look, pid_t which) {
    long result = look(0);
    return result == -ECHILD && spawn_died_unseen(which > 0 ? which : -1) ? look(__WALL) : result;
}

}  // namespace

namespace taskwatch {

// The kernel writes where the program says, and refuses what is no memory: what it wrote can be read.
long wait_raw(const SystemCall &c) {
    int own = 0;
    auto which = (pid_t)c.a[0];
    int *status = c.a[1] ? reinterpret_cast<int *>(c.a[1]) : &own;
    struct rusage counted;
    auto *usage = c.a[3] ? reinterpret_cast<struct rusage *>(c.a[3]) : &counted;
    for (;;) {
        long pid = look_again([&](int more) { return sys::call(SYS_wait4, which, status, c.a[2] | more, usage); }, which);
        if (pid <= 0) return pid;
        if (spawn_died_unseen((pid_t)pid)) spawn_forget_unseen((pid_t)pid);
        if (account((pid_t)pid, status, true, "SYS_wait4", usage)) return pid;
    }
}

long waitid_raw(const SystemCall &c) {
    siginfo_t own = {};
    auto which = c.a[0] == P_PID ? (pid_t)c.a[1] : -1;
    siginfo_t *info = c.a[2] ? reinterpret_cast<siginfo_t *>(c.a[2]) : &own;
    struct rusage counted;
    auto *usage = c.a[4] ? reinterpret_cast<struct rusage *>(c.a[4]) : &counted;
    for (;;) {
        long result = look_again([&](int more) { return sys::call(SYS_waitid, c.a[0], c.a[1], info, c.a[3] | more, usage); }, which);
        if (result != 0 || info->si_pid == 0) return result;
        if (!(c.a[3] & WNOWAIT) && spawn_died_unseen(info->si_pid)) spawn_forget_unseen(info->si_pid);
        int status = raw_status(*info);
        if (account(info->si_pid, &status, !(c.a[3] & WNOWAIT), "SYS_waitid", usage)) return 0;
        if (c.a[3] & WNOWAIT) sys::call(SYS_sched_yield);
    }
}

}  // namespace taskwatch

EXPORT pid_t wait(int *status) {
    return wait_for("wait", -1, status, 0, nullptr, [](int *own) { return real::wait(own); });
}
extern "C" EXPORT_ALIAS(wait) pid_t __wait(int *);

EXPORT pid_t waitpid(pid_t pid, int *status, int options) {
    return wait_for("waitpid", pid, status, options, nullptr, [=](int *own) { return real::waitpid(pid, own, options); });
}
extern "C" EXPORT_ALIAS(waitpid) pid_t __waitpid(pid_t, int *, int);

EXPORT pid_t wait3(int *status, int options, struct rusage *usage) noexcept {
    return wait_for("wait3", -1, status, options, usage, [=](int *own) { return real::wait3(own, options, usage); });
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage) noexcept {
    return wait_for("wait4", pid, status, options, usage, [=](int *own) { return real::wait4(pid, own, options, usage); });
}

namespace {

// libc's waitid has no place for the usage, and the system call alone would be no cancellation point. So libc's waits and takes
// nothing, and the system call takes what libc's has seen. Another thread may have taken it by then.
int waitid_with_usage(idtype_t type, id_t id, siginfo_t *info, int options, struct rusage *usage) {
    for (;;) {
        int result = real::waitid(type, id, info, options | WNOWAIT);
        pid_t pid = info->si_pid;
        if (result != 0 || pid == 0) return result;
        info->si_pid = 0;
        if (sys::call(SYS_waitid, P_PID, pid, info, options | WNOHANG, usage) == 0 && info->si_pid) return 0;
    }
}

}  // namespace

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options) {
    siginfo_t own;
    siginfo_t *seen = info ? info : &own;
    struct rusage counted, *usage = wants_usage() ? &counted : nullptr;
    auto look = [=](int more) {
        return usage ? waitid_with_usage(type, id, seen, options | more, usage) : real::waitid(type, id, seen, options | more);
    };
    for (;;) {
        seen->si_pid = 0;
        int result = look(0);
        if (result == -1 && errno == ECHILD && spawn_died_unseen(type == P_PID ? (pid_t)id : -1)) {
            result = look(__WALL);
            if (result == 0 && seen->si_pid && !(options & WNOWAIT)) spawn_forget_unseen(seen->si_pid);
        }
        if (result != 0 || seen->si_pid == 0) return result;
        int status = raw_status(*seen);
        if (account(seen->si_pid, &status, !(options & WNOWAIT), "waitid", usage)) return result;
        // A corpse that is only looked at stays where it is: the one who ends it takes it away.
        if (options & WNOWAIT) sys::call(SYS_sched_yield);
    }
}
