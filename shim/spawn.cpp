// SPDX-License-Identifier: MIT
// The parent's half of spawn(): what can be done, the making of the child, and its end if it got no
// image. What the child does is in spawn_child.cpp.
//
// The child borrows the parent's stack instead of getting one (spawn_clone.S). glibc maps 32 KiB for
// each call; taking a piece of the caller's stack in its place would need to know how much is left of
// it, which nobody can say of a coroutine or an alternate signal stack. Borrowing takes no more
// of it than a function call does.
#include "spawn.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <climits>

#include "libc_version.hpp"
#include "spawn_child.hpp"

#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_unpoison_memory_region(const volatile void *begin, size_t bytes);
#endif

namespace taskwatch {

namespace {

using sys::call;

#if defined(__x86_64__) && defined(__LP64__)
constexpr bool supported = true;
static_assert(sizeof(FileAction) == 32);
extern "C" [[gnu::visibility("hidden")]] long taskwatch_clone_below(long number, long arg1, long arg2,
                                                                   long arg3, void (*child)(void *),
                                                                   void *context);
#else
constexpr bool supported = false;  // spawn_can_do() refuses, nobody comes here
long taskwatch_clone_below(long, long, long, long, void (*)(void *), void *) { return -ENOSYS; }
#endif

constexpr int known_flags = POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                            POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER |
                            POSIX_SPAWN_USEVFORK | POSIX_SPAWN_SETSID;

// Asks libc's own functions to write two elements and looks at where they landed: the stride of the
// list, two tags and the place of their members. They allocate only when the list is full, so one
// that has room already keeps this free of malloc, and it is done on the first list that a process
// spawns with. The calls go through the PLT on purpose: another preloaded library that keeps
// file actions in its own way is found out too. EBADF: so few descriptors are allowed that libc
// refuses ours; that says nothing about the layout, which has been the same in every glibc.
bool layout_is_known() {
    static constinit std::atomic<int> answer{0};  // 1 yes, 2 no
    int known = answer.load(std::memory_order_relaxed);
    if (known) return known == 1;

    FileAction elements[3] = {};
    elements[2].tag = UINT_MAX;
    posix_spawn_file_actions_t list = {};
    list.__allocated = 3;
    list.__actions = reinterpret_cast<struct __spawn_action *>(elements);
    int error = posix_spawn_file_actions_addclose(&list, 1);
    if (!error) error = posix_spawn_file_actions_adddup2(&list, 1, 2);
    if (error == EBADF) return true;
    const auto &[first, second, untouched] = elements;
    bool right = !error && list.__used == 2 && untouched.tag == UINT_MAX &&  //
                 first.tag == FileAction::close && first.with.fd == 1 &&     //
                 second.tag == FileAction::dup2 && second.with.dup2.from == 1 && second.with.dup2.to == 2;
    answer.store(right ? 1 : 2, std::memory_order_relaxed);
    return right;
}

// The functions that fill a list check their arguments, so an element that fails this was not
// written by those that this code knows.
bool is_plausible(const FileAction &action) {
    switch (action.tag) {
        case FileAction::open: return action.with.open.fd >= 0 && action.with.open.path;
        case FileAction::chdir: return action.with.path;
        case FileAction::dup2: return action.with.dup2.from >= 0 && action.with.dup2.to >= 0;
        default: return action.tag <= FileAction::tcsetpgrp && action.with.fd >= 0;
    }
}

// Before 2.38 glibc itself blocks all signals and then ignores those of the blocked ones that it uses
// between threads, and so they stay ignored in the new image (SigIgn in /proc/PID/status).
bool libc_ignores_internal_signals() { return libc_is_before(38); }

// Exit signal 0 on both ways. PARENT_SETTID tells the child its pid in the parent's namespace.
long clone_child(SpawnAttempt &attempt) {
    constexpr unsigned long flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID;
    struct clone_args arguments = {};
    arguments.flags = flags | CLONE_CLEAR_SIGHAND;
    arguments.parent_tid = reinterpret_cast<uint64_t>(&attempt.pid);
    attempt.handlers_cleared = true;
    long pid = taskwatch_clone_below(SYS_clone3, reinterpret_cast<long>(&arguments), CLONE_ARGS_SIZE_VER0, 0,
                                     run_spawn_child, &attempt);
    if (pid != -ENOSYS && pid != -EPERM && pid != -EINVAL) return pid;
    // A kernel before 5.5, or a container whose filter does not know the call.
    attempt.handlers_cleared = false;
    return taskwatch_clone_below(SYS_clone, flags, 0, reinterpret_cast<long>(&attempt.pid), run_spawn_child,
                                 &attempt);
}

// waitid without libc: 0 or a positive errno.
int wait_for_end(pid_t pid, siginfo_t &ret_info, int options) {
    long result;
    do {
        ret_info = {};
        result = call(SYS_waitid, P_PID, pid, &ret_info, WEXITED | options, nullptr);
    } while (result == -EINTR);
    return int(-result);
}

struct SigchldAction {
    unsigned long handler, flags;
    void *restorer;
    sys::SignalMask mask;
    bool ignored() const { return handler == reinterpret_cast<unsigned long>(SIG_IGN); }
};

SigchldAction sigchld_action() {
    SigchldAction action = {};
    call(SYS_rt_sigaction, SIGCHLD, nullptr, &action, sizeof action.mask);
    return action;
}

// The SIGCHLD that the kernel would have sent, had the exit signal been that. The target has to be the
// own *thread*, or the kernel takes the sender for an impostor; the signal goes to the process all
// the same. It is blocked here, so even one that nobody handles becomes pending, as the kernel's own.
void announce(siginfo_t &info) { call(SYS_rt_sigqueueinfo, sys::gettid(), SIGCHLD, &info); }

// Children that were killed before their exec, 0 for a free place. A process that loses more of them
// at a time than there are places keeps the rest as zombies until it ends.
constinit std::atomic<pid_t> unseen[8] = {};
constinit std::atomic<int> unseen_count{0};

void remember_unseen(pid_t pid) {
    for (auto &place : unseen) {
        pid_t free = 0;
        if (!place.compare_exchange_strong(free, pid)) continue;
        unseen_count.fetch_add(1);
        return;
    }
}

// The child is gone from the parent's memory and has reported nothing: does it have an image? A child
// that execs gets SIGCHLD as its exit signal before it lets go of the parent, so __WCLONE, which looks
// for the other children only, finds exactly one that was killed on the way.
[[gnu::noinline]] void look_after(pid_t pid) {
    siginfo_t info;
    if (wait_for_end(pid, info, __WCLONE | WNOWAIT)) return;
    SigchldAction action = sigchld_action();
    // As the kernel does with the dead of a parent that does not care.
    if (action.ignored() || action.flags & SA_NOCLDWAIT)
        call(SYS_wait4, pid, nullptr, __WALL, nullptr);
    else
        remember_unseen(pid);
    if (!action.ignored()) announce(info);
}

// The end of a child that got no image. glibc waits for it without __WALL, so another thread's
// waitpid(-1) can be told of it; ours is invisible to that.
[[gnu::noinline]] void reap(const SpawnAttempt &attempt, pid_t pid) {
    siginfo_t info;
    int error = wait_for_end(pid, info, __WALL);
    if (!error && !attempt.vetoed && !sigchld_action().ignored()) announce(info);
}

}  // namespace

bool spawn_can_do(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes) {
    if (!supported) return false;
    if (attributes && attributes->__flags & ~known_flags) return false;
    if (!actions || actions->__used == 0) return true;
    if (actions->__used < 0 || actions->__used > actions->__allocated || !actions->__actions) return false;
    if (!layout_is_known()) return false;
    const auto *action = reinterpret_cast<const FileAction *>(actions->__actions);
    for (int i = 0; i < actions->__used; i++)
        if (!is_plausible(action[i])) return false;
    return true;
}

SpawnResult spawn(const SpawnRequest &request, unsigned long long mask) {
    SpawnAttempt attempt = {
        .request = &request,
        .mask = mask,
        .handlers_cleared = false,
        .internal_signals_ignored = libc_ignores_internal_signals(),
    };
    const long pid = clone_child(attempt);
#ifdef __SANITIZE_ADDRESS__
    // In an instrumented build the frames of the child, which never returned, are still out of bounds.
    __asan_unpoison_memory_region(static_cast<char *>(__builtin_frame_address(0)) - 16384, 16384);
#endif
    attempt.memory.release();
    if (pid < 0) return {int(-pid), 0, false};

    // Neither is inlined: what they need would lie on the stack while the child runs below it (R10).
    if (attempt.error == 0)
        look_after(pid_t(pid));
    else
        reap(attempt, pid_t(pid));
    return {attempt.error, pid_t(pid), attempt.vetoed};
}

bool spawn_died_unseen(pid_t pid) {
    if (unseen_count.load(std::memory_order_relaxed) == 0) return false;
    if (pid == -1) return true;
    for (auto &place : unseen)
        if (place.load(std::memory_order_relaxed) == pid) return true;
    return false;
}

void spawn_forget_unseen(pid_t pid) {
    for (auto &place : unseen) {
        pid_t expected = pid;
        if (!place.compare_exchange_strong(expected, 0)) continue;
        unseen_count.fetch_sub(1);
        return;
    }
}

}  // namespace taskwatch
