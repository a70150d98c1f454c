// SPDX-License-Identifier: MIT
// What a veto must not swallow: notices of a signal that were pending when its action was swapped, and
// children that died, stopped or continued while the kernel sent nothing.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

// One veto at a time in a process uses it, with all signals blocked in the calling thread (start() and the
// *_new() functions start a thread that inherits the mask, see waitable.hpp). Async-signal-safe.
class Notices {
  public:
    // Remembers who has something to tell already. `action_flags`: the program's for `signal`. Of `vetoed`
    // nothing is ever told.
    void start(int signal, unsigned long action_flags, pid_t vetoed);
    // Takes what is pending.
    void take_pending();
    // Queues again what take_pending() took, first things first.
    void give_back();

    // Children with something to tell that had not when start() was called. Announcing one that the kernel
    // has just announced itself is possible and harmless: it merges with a pending one, as real ones do.
    void announce_new() { visit_new(announce); }
    void announce_and_reap_new() { visit_new(announce_and_reap); }
    void reap_new() { visit_new(reap); }

    constexpr Notices() = default;

  private:
    using Visit = void (*)(void *self, const siginfo_t &child);
    static constexpr unsigned max_pending = 32;  // only a real-time signal queues more, which are lost
    static constexpr unsigned max_old = 512;     // of more zombies some are announced again, none are reaped

    bool is_old(const siginfo_t &child) const;
    bool is_told(const siginfo_t &child) const;
    void visit_new(Visit visit);
    void send(siginfo_t notice) const;
    static void remember(void *self, const siginfo_t &child);
    static void announce(void *self, const siginfo_t &child);
    static void announce_and_reap(void *self, const siginfo_t &child);
    static void reap(void *self, const siginfo_t &child);

    int signal_ = 0;
    int options_ = 0;
    pid_t vetoed_ = 0;
    bool tell_all_ = false;
    unsigned pending_count_ = 0;
    unsigned old_count_ = 0;
    bool found_new_ = false;
    siginfo_t pending_[max_pending] = {};
    uint64_t old_[max_old] = {};  // pid and what it tells
};

}  // namespace taskwatch
