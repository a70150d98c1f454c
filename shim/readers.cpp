// SPDX-License-Identifier: MIT
// Pins on numbered snapshots.
//
// The hand-over is Dekker's: a reader writes its claim and then reads `current`, a writer writes `current`
// and then reads the claims, all of it sequentially consistent. So either the reader sees the new
// snapshot and claims that one instead, or the writer sees the claim. The owner never unmaps a snapshot: a
// claim that came too late is on memory that is still one, and nobody looks into it.
#include "readers.hpp"

#include "backoff.hpp"

namespace taskwatch {

// Tells the claims of one level of one pin stack from all others of this moment. A hash, because all
// that depends on it is what becomes of a vfork child that is killed between two instructions.
uint16_t Readers::owner_of(const PinStack &own, unsigned level) {
    return uint16_t((uint64_t(uintptr_t(&own.pins[level])) * 0x9E3779B97F4A7C15u) >> 48);
}

// At each step the pin stack names what is pinned or may be about to be, so that release_down_to() finds
// it wherever a vfork child was killed. A shared pin cannot be told from another's: there the order errs
// on the side of a pin too many, which keeps a writer waiting, not of one too few.
Readers::Pin::Pin(Readers &readers, const std::atomic<uint16_t> &current, PinStack &own)
    : readers_(readers), own_(own), level_(own.depth) {
    if (level_ < PinStack::capacity) {
        own.depth = uint8_t(level_ + 1);
        // From here on a signal handler's walk uses the next level and leaves this level's pin alone.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (claim(current)) return;
    }
    readers.shared_pins_.fetch_add(1, std::memory_order_seq_cst);
    if (level_ < PinStack::capacity)
        own.pins[level_] = shared_pin;
    else if (level_ < UINT8_MAX)
        own.depth = uint8_t(level_ + 1);
    else
        counted_ = false;
    snapshot_ = current.load(std::memory_order_seq_cst);
}

// Releases with its own what was left above it by a walk that did not return. If somebody cut the stack
// below this level, the pin is gone already.
Readers::Pin::~Pin() {
    readers_.release_down_to(own_, level_);
    if (!counted_) readers_.shared_pins_.fetch_sub(1, std::memory_order_seq_cst);
}

// False if all lines are taken.
bool Readers::Pin::claim(const std::atomic<uint16_t> &current) {
    const uint16_t owner = owner_of(own_, level_);
    // The line this level had last time, still warm. The first time the next one that nobody had: the lines that are in use
    // lie together, and two threads meet in one only when there are more than lines.
    const unsigned last = own_.pins[level_];
    unsigned index = last != 0 && last <= count ? last - 1 : readers_.next_home_.fetch_add(1, std::memory_order_relaxed) % count;

    snapshot_ = current.load(std::memory_order_seq_cst);
    for (unsigned tried = 0; tried < count; ++tried, ++index) {
        if (index == count) index = 0;
        std::atomic<Claim> &line = readers_.lines_[index].claim;
        Claim seen = line.load(std::memory_order_relaxed);
        if (readers_.in_force(seen)) continue;
        own_.pins[level_] = uint16_t(index + 1);
        Claim mine = {snapshot_, readers_.epoch(), owner, uint16_t(seen.number + 1)};
        if (!line.compare_exchange_strong(seen, mine, std::memory_order_seq_cst)) continue;
        for (;;) {
            const uint16_t now = current.load(std::memory_order_seq_cst);
            if (now == snapshot_) return true;
            mine.snapshot = snapshot_ = now;
            line.store(mine, std::memory_order_seq_cst);
        }
    }
    return false;
}

void Readers::release_innermost(PinStack &own) {
    const unsigned level = own.depth - 1u;
    const unsigned pin = level < PinStack::capacity ? own.pins[level] : unsigned(shared_pin);
    if (pin == shared_pin) {
        if (level < PinStack::capacity) own.pins[level] = 0;
        own.depth = uint8_t(level);
        shared_pins_.fetch_sub(1, std::memory_order_seq_cst);
        return;
    }
    if (pin != 0 && pin <= count) {
        Claim claim = lines_[pin - 1].claim.load(std::memory_order_relaxed);
        if (in_force(claim) && claim.owner == owner_of(own, level)) {
            claim.snapshot = 0;
            lines_[pin - 1].claim.store(claim, std::memory_order_release);
        }
    }
    own.depth = uint8_t(level);
}

void Readers::release_down_to(PinStack &own, unsigned depth) {
    while (own.depth > depth) release_innermost(own);
}

bool Readers::mark_pinned(bool *ret_pinned) const {
    for (const Line &line : lines_) {
        const Claim claim = line.claim.load(std::memory_order_seq_cst);
        if (in_force(claim)) ret_pinned[claim.snapshot] = true;
    }
    return shared_pins_.load(std::memory_order_seq_cst) == 0;
}

void Readers::collect(const bool *snapshots, Walks &ret_walks) const {
    for (unsigned i = 0; i < count; ++i) {
        const Claim claim = lines_[i].claim.load(std::memory_order_seq_cst);
        if (in_force(claim) && snapshots[claim.snapshot]) ret_walks.claim[i] = claim.number + 1u;
    }
}

void Readers::wait_for(const Walks &walks) const {
    Backoff backoff;
    for (unsigned i = 0; i < count; ++i) {
        if (walks.claim[i] == 0) continue;
        for (;; backoff.pause()) {
            const Claim claim = lines_[i].claim.load(std::memory_order_seq_cst);
            if (!in_force(claim) || claim.number + 1u != walks.claim[i]) break;
        }
    }
    while (shared_pins_.load(std::memory_order_seq_cst) != 0) backoff.pause();
}

static_assert(sizeof(Readers) == (2 + Readers::count) * 64, "readers.hpp counts on it");

// Touches the lines of `own` only: each page written here is a page the child has to copy.
void Readers::after_fork_in_child(const PinStack &own) {
    const uint16_t before = epoch(), now = uint16_t(before + 1);
    epoch_.store(now, std::memory_order_relaxed);

    uint32_t shared = own.depth > PinStack::capacity ? own.depth - PinStack::capacity : 0;
    for (unsigned level = 0; level < own.depth && level < PinStack::capacity; ++level) {
        const unsigned pin = own.pins[level];
        if (pin == shared_pin) ++shared;
        if (pin == 0 || pin > count) continue;
        Claim claim = lines_[pin - 1].claim.load(std::memory_order_relaxed);
        if (claim.snapshot == 0 || claim.epoch != before || claim.owner != owner_of(own, level)) continue;
        claim.epoch = now;
        lines_[pin - 1].claim.store(claim, std::memory_order_relaxed);
    }
    if (shared_pins_.load(std::memory_order_relaxed) != shared)
        shared_pins_.store(shared, std::memory_order_relaxed);
}

}  // namespace taskwatch
