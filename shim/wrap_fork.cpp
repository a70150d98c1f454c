// SPDX-License-Identifier: MIT
// Exported: fork, __fork, __libc_fork, _Fork, and the C half of vfork and __vfork (wrap_vfork.S).
#include <sched.h>
#include <unistd.h>

#include <csignal>

#include "export.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "true_end.hpp"
#include "watched_spawn.hpp"

using namespace taskwatch;

namespace {

// What glibc's fork passes to clone(2).
constexpr uint64_t fork_flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
[[maybe_unused]] constexpr CreateCall vfork_call{"vfork", CLONE_VM | CLONE_VFORK | SIGCHLD};

}  // namespace

// Apart from the exported function, whose fast path then needs no frame.
[[gnu::noinline]] static pid_t fork_watched() { return create_process({"fork", fork_flags}, fork_genuinely, nullptr); }

EXPORT pid_t fork() noexcept {
    if (nobody_wants(mask_life)) [[likely]] return real::fork();
    return fork_watched();
}
extern "C" EXPORT_ALIAS(fork) pid_t __fork() noexcept;
extern "C" EXPORT_ALIAS(fork) pid_t __libc_fork() noexcept;

// No atfork handlers and no lock of libc's is put right in the child: the hold and CLONE's walk are
// async-signal-safe anyway.
[[gnu::noinline]] static pid_t fork_bare_watched() {
    return create_process({"_Fork", fork_flags}, [](void *) { return real::_Fork(); }, nullptr);
}

EXPORT pid_t _Fork() noexcept {
    if (nobody_wants(mask_life)) [[likely]] return real::_Fork();
    return fork_bare_watched();
}

#if defined(__x86_64__)

// The level, which the assembly keeps in a register for both sides; 0: not watched; negative: refused with
// that errno.
extern "C" long taskwatch_before_vfork() {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life) || process.quiet) return 0;
    int error;
    VforkLevel *level = begin_vfork(thread, vfork_call, &error);
    return level ? reinterpret_cast<long>(level) : -error;
}

extern "C" void taskwatch_vfork_child(VforkLevel *level) { arrive_in_vfork_child(self(), *level, vfork_call); }

extern "C" long taskwatch_vfork_parent(long result, VforkLevel *level) {
    return finish_vfork(self(), *level, vfork_call, result);
}

#else

// Without assembly for this machine: INIT, then the genuine function by a tail jump that leaves no frame
// of ours. CLONE is not told, the child is adopted when it execs.
EXPORT pid_t vfork() noexcept {
    Thread &thread = self();
    if (!thread.in_callback && wanted(WATCH_MASK_INIT)) {
        if (int error = tell_without_hold("vfork", thread)) {
            errno = error;
            return -1;
        }
    }
    auto genuine = real::vfork.get();
    return genuine();
}
extern "C" EXPORT_ALIAS(vfork) pid_t __vfork() noexcept;

#endif
