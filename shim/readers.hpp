// SPDX-License-Identifier: MIT
// Who is reading which version of something that writers replace as a whole: pins on numbered
// snapshots. It knows nothing of what is in a snapshot and hands out no memory.
//
// A reader takes a cache line of its own with one CAS that at once pins the snapshot: no lock, no wait,
// no line that another reader writes. A writer asks which snapshots are pinned, and waits for the
// reads that it names. A fork needs one store: claims of another epoch count for nothing.
#pragma once

#include <atomic>
#include <cstdint>

namespace taskwatch {

// The pins that one thread holds, innermost last. It lives with the thread's state, so that the
// parent of a vfork child that was killed inside a walk can release what that child left pinned.
struct PinStack {
    static constexpr unsigned capacity = 8;
    uint16_t pins[capacity];
    uint8_t depth;
};

class Readers {
  public:
    // As many reads at once have a line each. Further ones share a counter.
    static constexpr unsigned count = 124;

    // Pins the snapshot whose number `current` has, for as long as it lives; numbers start at 1.
    // Async-signal-safe.
    class Pin {
      public:
        Pin(Readers &readers, const std::atomic<uint16_t> &current, PinStack &own);
        ~Pin();
        Pin(const Pin &) = delete;
        Pin &operator=(const Pin &) = delete;
        uint16_t snapshot() const { return snapshot_; }

      private:
        bool claim(const std::atomic<uint16_t> &current);

        Readers &readers_;
        PinStack &own_;
        const unsigned level_;
        bool counted_ = true;  // in own_.depth
        uint16_t snapshot_ = 0;
    };

    // Releases pins above `depth`. Async-signal-safe.
    void release_down_to(PinStack &own, unsigned depth);

    // Sets ret_pinned[n] for each pinned snapshot n. False if others may be pinned as well: there are
    // shared pins, which do not tell.
    bool mark_pinned(bool *ret_pinned) const;

    // Reads under way: for each line 0, or 1 + the number of its claim.
    struct Walks {
        uint32_t claim[count] = {};
    };
    // Those that pin a snapshot n with snapshots[n] set.
    void collect(const bool *snapshots, Walks &ret_walks) const;
    // Returns when they are over, and there was a moment without shared pins.
    void wait_for(const Walks &walks) const;

    uint16_t epoch() const { return epoch_.load(std::memory_order_relaxed); }
    // Only the pins of `own` hold from here on.
    void after_fork_in_child(const PinStack &own);

  private:
    // PinStack::pins: 1 + the line's index, or this.
    static constexpr uint16_t shared_pin = 0xFFFF;

    struct alignas(8) Claim {  // one word: clang asks libatomic otherwise
        uint16_t snapshot = 0;  // 0: free
        uint16_t epoch = 0;
        uint16_t owner = 0;   // see owner_of()
        uint16_t number = 0;  // counts the claims of this line: tells a read from the next one
    };
    struct alignas(64) Line {
        std::atomic<Claim> claim = Claim{};
    };
    static_assert(std::atomic<Claim>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free,
                  "a walk in a signal handler must not wait for a lock of libatomic");

    bool in_force(const Claim &claim) const { return claim.snapshot != 0 && claim.epoch == epoch(); }
    static uint16_t owner_of(const PinStack &own, unsigned level);
    void release_innermost(PinStack &own);

    alignas(64) std::atomic<uint16_t> epoch_ = 0;        // counts the forks above this process
    alignas(64) std::atomic<uint32_t> shared_pins_ = 0;  // reads under way without a line
    std::atomic<uint32_t> next_home_ = 0;                // of a thread that makes its first walk
    Line lines_[count] = {};
};

}  // namespace taskwatch
