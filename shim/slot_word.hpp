// SPDX-License-Identifier: MIT
// The one word that is the truth about a slot of the ledger. Every step of a task's life is one
// compare-and-swap of it, and the task's id is a function of the word that won: were it stored beside, a creator
// killed in between would leave the id of the slot's previous task to be ended (F18 of the start-up report).
//
//   63      40 39  38        10 9      3 2     0
//  | generation | T |   owner   | cursor | phase |
//
// The owner works on the slot in the phases entered, cloning, exiting, freeing and done: the creator, or
// whoever delivers. If it is gone, somebody else takes over by putting itself here. T 0: the owner's own slot (15
// bits, from 1, or the session's first task would be nobody) and the low 14 bits of its generation, so that an owner whose task has left is known without a
// system call. T 1: a tid, of an owner without a slot.
//
// The cursor says which watcher is being called: its number in the session (Columns::number_of), so that it means the
// same in another process, whose chain may have other watchers or another order. 0: none so far. 127: one
// without a number.
#pragma once

#include <cstdint>

#include "session_layout.hpp"

namespace taskwatch {

enum class Phase : uint8_t {
    vacant,
    entered,  // INIT is told, there may be a task or not
    cloning,  // it exists and is held, CLONE is told
    living,
    exiting,  // EXIT is told
    freeing,  // FREE is told
    done,     // nothing is owed any more
    retired,  // all generations are used up: an id is never given twice
};

class SlotWord {
  public:
    constexpr explicit SlotWord(uint64_t word) : word_(word) {}
    constexpr SlotWord(uint32_t generation, Phase phase, uint32_t owner, unsigned cursor = 0)
        : word_(uint64_t{generation} << 40 | uint64_t{owner & owner_mask} << 10 | (cursor & 127) << 3 | (uint64_t)phase) {}

    constexpr operator uint64_t() const { return word_; }
    constexpr Phase phase() const { return (Phase)(word_ & 7); }
    constexpr unsigned cursor() const { return (unsigned)(word_ >> 3) & 127; }
    constexpr uint32_t owner() const { return (uint32_t)(word_ >> 10) & owner_mask; }
    constexpr uint32_t generation() const { return (uint32_t)(word_ >> 40); }

    constexpr bool is_used() const { return phase() != Phase::vacant && phase() != Phase::retired; }
    // Its end has not begun to be told.
    constexpr bool is_alive() const { return phase() >= Phase::entered && phase() <= Phase::living; }
    constexpr uint64_t id(uint32_t index) const { return uint64_t{generation()} * layout::capacity + index + 1; }
    constexpr SlotWord with(Phase phase, uint32_t owner, unsigned cursor = 0) const {
        return {generation(), phase, owner, cursor};
    }
    constexpr SlotWord with_cursor(unsigned cursor) const { return {generation(), phase(), owner(), cursor}; }
    // For the next task.
    constexpr SlotWord next() const {
        return generation() == max_generation ? with(Phase::retired, 0) : SlotWord{generation() + 1, Phase::vacant, 0};
    }

    // --- owners; 0 is nobody

    static constexpr uint32_t owner_in(uint32_t index, uint32_t generation) {
        return (index + 1) << owner_generation_bits | (generation & owner_generation_mask);
    }
    static constexpr uint32_t owner_outside(int tid) { return tid_owner | ((uint32_t)tid & (tid_owner - 1)); }
    static constexpr bool owns_no_slot(uint32_t owner) { return owner & tid_owner; }
    static constexpr int tid_of(uint32_t owner) { return (int)(owner & (tid_owner - 1)); }
    static constexpr uint32_t index_of(uint32_t owner) { return (owner >> owner_generation_bits & (layout::capacity - 1)) - 1; }
    // True if an owner's slot with this word is still that owner's.
    bool is_of_owner(uint32_t owner) const {
        return is_used() && (generation() & owner_generation_mask) == (owner & owner_generation_mask);
    }

    static constexpr unsigned no_number = 127;
    static constexpr uint32_t max_generation = (1u << 24) - 1;

  private:
    static constexpr unsigned owner_generation_bits = 14;
    static constexpr uint32_t owner_generation_mask = (1u << owner_generation_bits) - 1;
    static constexpr uint32_t tid_owner = 1u << 29;
    static constexpr uint32_t owner_mask = (1u << 30) - 1;

    uint64_t word_;
};

static_assert(layout::capacity == 1u << 15, "an owner's slot has 15 bits");
static_assert(layout::first_slots + layout::max_extensions * layout::extension_slots < layout::capacity, "counted from 1");
static_assert(SlotWord::owner_in(0, 0) != 0 && SlotWord::index_of(SlotWord::owner_in(0, 0)) == 0);

}  // namespace taskwatch
