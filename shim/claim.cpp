// SPDX-License-Identifier: MIT
#include "claim.hpp"

namespace taskwatch {

std::atomic<uint32_t> &Claim::told() const {
    switch (word.phase()) {
        case Phase::exiting: return slot->told_exit;
        case Phase::freeing: return slot->told_free;
        default: return slot->told_clone;
    }
}

// The bit of a watcher in the slot's masks; bit 0 stands for those without a number.
static uint32_t bit_of(unsigned cursor) { return cursor < 32 ? 1u << cursor : 1u; }

void Claim::take_over() {
    taken_over = true;
    // The cursor still says it, if we are killed before this.
    if (word.cursor()) slot->begun.fetch_or(bit_of(word.cursor()), std::memory_order_acq_rel);
}

bool Claim::advance(SlotWord next) {
    if (!slot || lost) return !lost;
    uint64_t expected = word;
    if (slot->word.load(std::memory_order_acquire) != expected) {
        lost = true;
        return false;
    }
    // Before the next phase: all of this one were told, if we are killed after this.
    if (next.phase() != word.phase() && slot->begun.load(std::memory_order_relaxed) != 0)
        slot->begun.store(0, std::memory_order_release);
    lost = !slot->word.compare_exchange_strong(expected, next, std::memory_order_acq_rel);
    if (next.phase() != word.phase()) taken_over = false;
    word = next;
    return !lost;
}

Claim::Step Claim::begin_callback(Progress &self, unsigned number) {
    auto &claim = static_cast<Claim &>(self);
    if (!claim.slot) return Step::call;
    if (claim.lost) return Step::skip;
    const uint32_t told = claim.told().load(std::memory_order_acquire);
    const unsigned cursor = number && number < 32 ? number : SlotWord::no_number;
    if (cursor < 32 && (told & 1u << cursor)) return Step::skip;
    // Of one without a number all that can be known is whether anybody was called at all.
    const bool again = claim.taken_over && (cursor < 32 ? claim.slot->begun.load(std::memory_order_acquire) & bit_of(cursor)
                                                        : claim.word.cursor() != 0 || told != 0);
    if (claim.word.cursor() != cursor && !claim.advance(claim.word.with_cursor(cursor))) return Step::skip;
    return again ? Step::again : Step::call;
}

void Claim::end_callback(Progress &self, unsigned number) {
    auto &claim = static_cast<Claim &>(self);
    // From whom it was taken in the meantime must not say so: the slot may be another task's by now.
    if (!claim.slot || claim.lost || claim.slot->word.load(std::memory_order_acquire) != claim.word) return;
    if (number && number < 32) claim.told().fetch_or(1u << number, std::memory_order_release);
}

}  // namespace taskwatch
