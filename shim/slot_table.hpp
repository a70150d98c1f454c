// SPDX-License-Identifier: MIT
// The slots of a session: where each is, which is free, which has a pid. A free one and a pid are found in
// a number of steps that does not grow with the tasks (a line of memory for each further segment).
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "segment.hpp"
#include "slot_word.hpp"

namespace taskwatch {

class SlotTable {
  public:
    explicit constexpr SlotTable(Segment &memory) : memory_(memory) {}

    // Null: there is no such slot, or its segment is not to be had.
    layout::Slot *at(uint32_t index) const;
    // How many there are, at least; bounded.
    uint32_t size() const;
    // A slot that was vacant a moment ago and that nobody else is given meanwhile; -1: there is none. Makes another
    // segment if it has to.
    int reserve();
    // It is vacant.
    void release(uint32_t index);
    // The slot has this pid from now on.
    void index_pid(uint32_t index, pid_t pid);
    // Calls visit(index) for each slot that may have this pid, until it returns true. Returns whether one did.
    template <typename Visit>
    bool find(pid_t pid, Visit visit) const;

    // The cell of a slot in a watcher's column.
    void *cell(uint32_t index, unsigned column) const;

  private:
    layout::Header *header() const { return memory_.header(); }
    layout::Busy *busy() const { return reinterpret_cast<layout::Busy *>(memory_.base() + layout::busy_offset); }
    layout::Extension *extension(uint32_t chunk) const {
        return reinterpret_cast<layout::Extension *>(memory_.extension(chunk));
    }
    static uint32_t first_of(uint32_t chunk) { return layout::first_slots + chunk * layout::extension_slots; }
    int reserve_known();
    bool look_for_lost();

    static uint32_t hash(pid_t pid) { return (uint32_t)pid * 0x9e3779b1u; }
    static uint32_t tag(pid_t pid) { return (uint32_t)pid % 31 + 1; }
    // At half load hardly anybody is further from his place; then all slots are looked at.
    static constexpr unsigned window = 64;
    static constexpr unsigned index_bits = 11;  // of an entry; the rest is the tag
    template <uint32_t entries, typename Visit>
    bool find_in(const layout::PidMap<entries> &map, uint32_t first, uint32_t count, pid_t pid, Visit &visit) const;
    template <uint32_t entries>
    void index_in(layout::PidMap<entries> &map, uint32_t first, uint32_t count, uint32_t local, pid_t pid);

    Segment &memory_;
};

template <uint32_t entries, typename Visit>
bool SlotTable::find_in(const layout::PidMap<entries> &map, uint32_t first, uint32_t count, pid_t pid, Visit &visit) const {
    // An entry is never emptied, only given to another, the first that can be: behind an empty one is nothing.
    for (uint32_t n = 0; n < window; n++) {
        uint16_t entry = map.entry[(hash(pid) + n) % entries].load(std::memory_order_acquire);
        if (entry == 0) return false;
        uint32_t local = entry & ((1u << index_bits) - 1);
        if (uint32_t{entry} >> index_bits == tag(pid) && local < count && visit(first + local)) return true;
    }
    if (!map.overflown.load(std::memory_order_relaxed)) return false;
    for (uint32_t local = 0; local < count; local++)
        if (visit(first + local)) return true;
    return false;
}

template <typename Visit>
bool SlotTable::find(pid_t pid, Visit visit) const {
    if (!memory_.attached()) return false;
    if (find_in(header()->pids, 0, layout::first_slots, pid, visit)) return true;
    for (uint32_t chunk = 0, end = size(); first_of(chunk) < end; chunk++) {
        const layout::Extension *more = extension(chunk);
        if (more && find_in(more->pids, first_of(chunk), layout::extension_slots, pid, visit)) return true;
    }
    return false;
}

}  // namespace taskwatch
