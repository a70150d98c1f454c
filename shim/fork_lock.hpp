// SPDX-License-Identifier: MIT
// A lock for what a forked child inherits together with the lock: a child that was forked while another
// thread held it takes it over, because that thread is not there.
//
// For functions that hold a lock of libc's own at the same place (system, popen), and nothing else.
#pragma once

#include <atomic>

#include "backoff.hpp"
#include "process.hpp"
#include "sys.hpp"
#include "thread.hpp"

namespace taskwatch {

class ForkLock {
  public:
    // False if the calling thread has it already: a signal handler, or a callback, inside what it protects. The
    // caller then goes on as a part of that, and does not unlock.
    bool lock() {
        Thread *me = &self();
        if (owner_ == me) return false;
        // Under a seccomp filter nothing is asked: the lock is then an ordinary one.
        const pid_t pid = process.quiet ? 1 : sys::getpid();
        Backoff backoff;
        for (pid_t holder = 0; !holder_.compare_exchange_strong(holder, pid, std::memory_order_acquire);) {
            // A vfork child is on its parent's memory, and the parent's other threads run.
            if (process.quiet || holder == pid || me->in_vfork_child()) {
                backoff.pause();
                holder = 0;
            }
        }
        owner_ = me;
        return true;
    }

    void unlock() {
        owner_ = nullptr;
        holder_.store(0, std::memory_order_release);
    }

    constexpr ForkLock() = default;
    ForkLock(const ForkLock &) = delete;
    ForkLock &operator=(const ForkLock &) = delete;

  private:
    std::atomic<pid_t> holder_{0};  // the process
    Thread *volatile owner_ = nullptr;  // equal to the reader's own only if the reader wrote it
};

class ForkLockGuard {
  public:
    explicit ForkLockGuard(ForkLock &lock) : lock_(lock), mine_(lock.lock()) {}
    ~ForkLockGuard() {
        if (mine_) lock_.unlock();
    }
    ForkLockGuard(const ForkLockGuard &) = delete;
    ForkLockGuard &operator=(const ForkLockGuard &) = delete;

  private:
    ForkLock &lock_;
    const bool mine_;
};

}  // namespace taskwatch
