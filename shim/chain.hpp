// SPDX-License-Identifier: MIT
// The notifier chain: who is told, in which order, and with what result. It knows nothing of
// processes; the contract is DESIGN's "chain" and taskwatch.h's registration.
//
// An immutable sorted array (a snapshot) behind one atomic number. A walker claims a cache line of
// its own with one CAS that at once pins the snapshot; it takes no lock, allocates nothing and writes
// no line that another walker writes. A writer publishes a new snapshot and, for a removal, waits
// until no other walk pins an old one.
//
// A chain has static storage: constinit, no destructor.
#pragma once

#include <taskwatch/taskwatch.h>

#include <atomic>
#include <cstdint>

#include "readers.hpp"

namespace taskwatch {

// How far a walk has come, where somebody else may have to finish it. A walk without one pays nothing for it.
struct Progress {
    enum class Step : uint8_t { skip, call, again };
    // Before a callback: what to do. `number`: the registration's, 0: it has none.
    Step (*begin)(Progress &self, unsigned number);
    // It has returned.
    void (*end)(Progress &self, unsigned number);
};

// One walk to make.
struct Walk {
    unsigned long action;       // event and flags, handed to the callbacks
    uint32_t need;              // WATCH_MASK_ bits: called are blocks whose mask has all of them
    uint32_t honour = 0;        // STOP counts only from blocks whose mask has all of these
    bool ignore_stop = false;   // FREE: nobody can stop it; `offender` is told of those who try
    uint64_t up_to = UINT64_MAX;  // only blocks registered up to this serial (see WalkResult)
    void (*offender)(const notifier_block *nb, const char *name) = nullptr;
    Progress *progress = nullptr;
};

struct WalkResult {
    int value = 0;                     // last value returned, observers aside; NOTIFY_DONE if none
    const char *stopped_by = nullptr;  // name of the block whose STOP counted
    uint64_t serial = 0;               // newest registration in the snapshot that was walked
    bool stopped() const { return stopped_by != nullptr; }
};

class Chain {
  public:
    using NumberOf = unsigned(const char *name, unsigned earlier);

    // Union of the registered masks. Relaxed load: the fast path of every wrapper.
    uint32_t wanted() const { return wanted_.load(std::memory_order_relaxed); }

    // 0 or a positive errno, as in taskwatch.h: EINVAL, EEXIST, ENOSPC, ENOMEM, EDEADLK. `name` must
    // outlive the registration. Blocks on other writers. Not async-signal-safe. `number_of` says by which number
    // Progress is to know it; the second argument counts blocks of this name that are in the chain.
    [[nodiscard]] int add(notifier_block *nb, uint32_t mask, const char *name, NumberOf *number_of = nullptr);

    // 0 or a positive errno. Waits for every walk that may still call nb, but for those that `own`
    // (the calling thread's pins) holds: from inside a callback it thus returns at once.
    [[nodiscard]] int remove(notifier_block *nb, const PinStack &own);

    // Calls the blocks that `walk` selects, in order, observers last, with `task`; sets task.verdict
    // and task.stopped_by before observers are called (an already set stopped_by is kept).
    // Async-signal-safe; the caller sees to errno, cancellation and reentrance.
    WalkResult walk(const Walk &walk, task_watch &task, PinStack &own);

    // Name given at registration, or nullptr. Async-signal-safe.
    const char *name_of(const notifier_block *nb, PinStack &own) const;

    // Releases pins above `depth`: what a vfork child that never came back had pinned.
    void release_down_to(PinStack &own, unsigned depth);

    // In the child of a fork, before anything else of the chain is used there: the walks and the
    // half-done registrations of threads that do not exist here are forgotten. Async-signal-safe.
    void after_fork_in_child(const PinStack &own);

    constexpr Chain() = default;
    Chain(const Chain &) = delete;
    Chain &operator=(const Chain &) = delete;

  private:
    // One for each reader, the current one and the next: without shared pins one is always free.
    static constexpr unsigned snapshot_count = Readers::count + 2;
    // Those in the chain, and those taken out that a walk under way still sees.
    static constexpr unsigned registration_count = 256;

    // What add() was told. Not changed, but for the flags, while any snapshot that is in use has it:
    // what is said once about a registration is said once, whichever snapshot a walk goes through.
    struct Registration {
        notifier_block *nb = nullptr;
        notifier_fn_t call = nullptr;
        const char *name = nullptr;
        uint64_t serial = 0;  // from 1, never repeated
        int priority = 0;
        uint32_t mask = 0;
        uint8_t index = 0;   // its own
        uint8_t number = 0;  // for Progress
        std::atomic<bool> warned = false;   // the offender was named
        std::atomic<bool> removed = false;  // taken out when there was no room for a new snapshot
    };

    struct Snapshot {
        uint64_t serial = 0;  // newest registration when it was made; stays when that one is taken out
        uint32_t wanted = 0;  // union of the masks
        uint8_t count = 0;
        uint8_t observers = 0;                     // index of the first one in `order`
        uint8_t order[WATCH_CHAIN_CAPACITY] = {};  // of registrations
    };

    bool selects(const Walk &walk, const Registration &registration) const;
    template <bool has_progress>
    static bool call(const Registration &registration, const Walk &walk, unsigned long action, task_watch &task, int &ret_value);
    template <bool has_progress>
    void walk_snapshot(const Walk &walk, const Snapshot &snapshot, task_watch &task, WalkResult &result);

    static uint64_t writer(uint16_t epoch);
    int lock();
    void unlock() { lock_.store(0, std::memory_order_release); }

    Registration *find(const notifier_block *nb, unsigned *ret_count = nullptr);
    unsigned count_of(const char *name) const;
    bool mark_pinned(bool (&ret_pinned)[snapshot_count + 1]) const;
    void mark_holders(const Registration &registration, bool (&ret_holders)[snapshot_count + 1]) const;
    uint16_t free_snapshot();
    Registration *free_registration();
    void publish(uint16_t number, const Registration *added, const Registration *left_out);
    void announce(const Snapshot &snapshot);
    int take_out(const notifier_block *nb, Readers::Walks *ret_walks);
    [[gnu::noinline]] int take_out_and_wait(const notifier_block *nb);

    // Read by every walk, written by registrations.
    alignas(64) std::atomic<uint16_t> current_ = 0;  // number of the snapshot; 0: there was none yet
    std::atomic<uint32_t> wanted_ = 0;                 // the current snapshot's, to be read without a pin
    std::atomic<uint64_t> newest_ = 0;                 // the same for its serial

    // The writers' line, then the first of each kind and of the readers' lines: what a start with the built-in watchers
    // touches, and a fork and a process's first threads after it, has room in the page where the chain begins
    // (start_data.hpp). A fork in the middle of a registration leaves nothing to repair here: what is free is worked out
    // from the pins each time.
    alignas(64) std::atomic<uint64_t> lock_ = 0;  // writer() or 0
    uint16_t used_snapshots_ = 0;                 // up to here: used before; beyond: never
    uint16_t used_registrations_ = 0;
    static constexpr unsigned first_snapshots = 4, first_registrations = 4;
    alignas(64) Snapshot first_snapshots_[first_snapshots] = {};
    alignas(64) Registration first_registrations_[first_registrations] = {};

    mutable Readers readers_;
    Snapshot more_snapshots_[snapshot_count + 1 - first_snapshots] = {};
    Registration more_registrations_[registration_count - first_registrations] = {};

    // Numbered from 1; 0 is empty.
    Snapshot &snapshot(unsigned n) {
        return n < first_snapshots ? first_snapshots_[n] : more_snapshots_[n - first_snapshots];
    }
    const Snapshot &snapshot(unsigned n) const { return const_cast<Chain *>(this)->snapshot(n); }
    Registration &registration(unsigned i) {
        return i < first_registrations ? first_registrations_[i] : more_registrations_[i - first_registrations];
    }
    const Registration &registration(unsigned i) const { return const_cast<Chain *>(this)->registration(i); }
};

}  // namespace taskwatch
