// SPDX-License-Identifier: MIT
#include "slot_table.hpp"

namespace taskwatch {

using namespace layout;

Slot *SlotTable::at(uint32_t index) const {
    if (!memory_.attached() || index >= capacity) return nullptr;
    if (index < first_slots) return reinterpret_cast<Slot *>(memory_.base() + slots_offset) + index;
    index -= first_slots;
    char *more = memory_.extension(index / extension_slots);
    return more ? reinterpret_cast<Slot *>(more + extension_slots_offset) + index % extension_slots : nullptr;
}

void *SlotTable::cell(uint32_t index, unsigned column) const {
    if (index < first_slots)
        return memory_.base() + first_cells_offset + ((size_t)column * first_slots + index) * TASKWATCH_CELL_SIZE;
    index -= first_slots;
    char *more = memory_.extension(index / extension_slots);
    if (!more) return nullptr;
    return more + extension_cells_offset +
           ((size_t)column * extension_slots + index % extension_slots) * TASKWATCH_CELL_SIZE;
}

uint32_t SlotTable::size() const {
    if (!memory_.attached()) return 0;
    uint32_t slots = header()->slots.load(std::memory_order_acquire);
    return slots < capacity ? slots : capacity;
}

// Takes the lowest bit of a map. -1: there is none.
template <uint32_t count>
static int take_lowest(FreeMap<count> &map) {
    for (uint32_t n = 0; n < map.words; n++) {
        uint64_t word = map.free[n].load(std::memory_order_relaxed);
        while (word) {
            uint64_t rest = word & (word - 1);
            if (map.free[n].compare_exchange_weak(word, rest, std::memory_order_acq_rel))
                return (int)(n * 64 + (uint32_t)__builtin_ctzll(word));
        }
    }
    return -1;
}

// An index beyond the last slot comes from a map that somebody else wrote to.
static int bounded(int local, uint32_t first, uint32_t count) {
    return local >= 0 && (uint32_t)local < count ? (int)first + local : -1;
}

int SlotTable::reserve_known() {
    int index = bounded(take_lowest(busy()->first), 0, first_slots);
    if (index >= 0) return index;
    const uint32_t chunks = size() / extension_slots;
    for (uint32_t chunk = 0; chunk < chunks && chunk < max_extensions; chunk++) {
        const uint32_t bit = 1u << chunk;
        if (!(busy()->extensions.load(std::memory_order_acquire) & bit)) continue;
        Extension *more = extension(chunk);
        if (!more) continue;
        index = bounded(take_lowest(more->map), first_of(chunk), extension_slots);
        if (index >= 0) return index;
        // None: until one is released. Once more, for one that was released before the bit was taken away.
        busy()->extensions.fetch_and(~bit, std::memory_order_acq_rel);
        index = bounded(take_lowest(more->map), first_of(chunk), extension_slots);
        if (index < 0) continue;
        busy()->extensions.fetch_or(bit, std::memory_order_acq_rel);
        return index;
    }
    return -1;
}

// A process that is killed between reserve() and its first step leaves a vacant slot without a bit. Looked for
// when the maps are empty, before more memory is made: seldom.
bool SlotTable::look_for_lost() {
    bool found = false;
    const uint32_t end = size();
    if (end == 0) return false;
    if (busy()->living.load(std::memory_order_relaxed) >= end) return false;
    for (uint32_t index = 0; index < end; index++) {
        Slot *slot = at(index);
        if (!slot || SlotWord(slot->word.load(std::memory_order_relaxed)).phase() != Phase::vacant) continue;
        release(index);
        found = true;
    }
    return found;
}

int SlotTable::reserve() {
    // What was found or made may be others' before we come to it. Bounded: what is read there may be anybody's.
    constexpr int rounds = 64;
    for (int round = 0; memory_.attached() && round < rounds; round++) {
        const int index = reserve_known();
        if (index >= 0) return index;
        if (memory_.is_quiet() || !(look_for_lost() || memory_.grow())) break;
    }
    return -1;
}

void SlotTable::release(uint32_t index) {
    if (index < first_slots) {
        busy()->first.free[index / 64].fetch_or(1ull << index % 64, std::memory_order_acq_rel);
        return;
    }
    const uint32_t chunk = (index - first_slots) / extension_slots, local = (index - first_slots) % extension_slots;
    Extension *more = extension(chunk);
    if (!more) return;
    more->map.free[local / 64].fetch_or(1ull << local % 64, std::memory_order_acq_rel);
    const uint32_t bit = 1u << chunk;
    if (!(busy()->extensions.load(std::memory_order_acquire) & bit))
        busy()->extensions.fetch_or(bit, std::memory_order_acq_rel);
}

template <uint32_t entries>
void SlotTable::index_in(PidMap<entries> &map, uint32_t first, uint32_t count, uint32_t local, pid_t pid) {
    const auto mine = (uint16_t)(tag(pid) << index_bits | local);
    for (uint32_t n = 0; n < window; n++) {
        std::atomic<uint16_t> &place = map.entry[(hash(pid) + n) % entries];
        uint16_t entry = place.load(std::memory_order_acquire);
        if (entry == mine) return;
        if (entry != 0) {
            // Somebody else's as long as that one is there under a pid of this tag.
            const uint32_t other = entry & ((1u << index_bits) - 1);
            Slot *slot = other < count && other != local ? at(first + other) : nullptr;
            if (slot && SlotWord(slot->word.load(std::memory_order_acquire)).is_used() &&
                tag(slot->pid.load(std::memory_order_relaxed)) == uint32_t{entry} >> index_bits)
                continue;
        }
        if (place.compare_exchange_strong(entry, mine, std::memory_order_acq_rel)) return;
    }
    map.overflown.store(1, std::memory_order_relaxed);
}

void SlotTable::index_pid(uint32_t index, pid_t pid) {
    if (!memory_.attached() || pid <= 0) return;
    if (index < first_slots) {
        index_in(header()->pids, 0, first_slots, index, pid);
        return;
    }
    const uint32_t chunk = (index - first_slots) / extension_slots;
    if (Extension *more = extension(chunk))
        index_in(more->pids, first_of(chunk), extension_slots, (index - first_slots) % extension_slots, pid);
}

}  // namespace taskwatch
