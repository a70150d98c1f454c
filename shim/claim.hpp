// SPDX-License-Identifier: MIT
// The right to tell CLONE, or EXIT and FREE, of one task, and how far its owner has come: on the
// deliverer's stack, mirrored in the session's memory where a successor finds it.
//
// The watcher's number is stored before each callback and its bit after it. If the owner is killed, whoever
// takes over calls the one that had begun again, flagged WATCH_AGAIN, those that were told not, the others as
// always. So no watcher loses its call, and only a flagged one can be a second one. A watcher without a number (a block
// of the program's own, or one too many in the session) is not known to a successor: it is called, flagged.
#pragma once

#include <cstdint>

#include "chain.hpp"
#include "slot_word.hpp"

namespace taskwatch {

struct Claim : Progress {
    layout::Slot *slot = nullptr;  // null: nobody else knows of this task, and all is owed
    uint32_t index = 0;
    SlotWord word{0};              // as its owner wrote it last
    bool taken_over = false;       // in this phase
    bool lost = false;             // somebody has taken over from us, who should be dead: we call nobody any more

    Claim() : Progress{begin_callback, end_callback} {}

    void on(layout::Slot &of_task, uint32_t at, SlotWord seen) {
        slot = &of_task;
        index = at;
        word = seen;
    }
    bool owes_exit() const { return !lost && (!slot || word.phase() == Phase::exiting); }
    bool owes_free() const { return !lost && (!slot || word.phase() == Phase::exiting || word.phase() == Phase::freeing); }
    // From an owner that is gone: which watcher it was calling is noted, for later owners too.
    void take_over();
    // One step on. False: lost.
    bool advance(SlotWord next);

  private:
    static Step begin_callback(Progress &self, unsigned number);
    static void end_callback(Progress &self, unsigned number);
    std::atomic<uint32_t> &told() const;
};

}  // namespace taskwatch
