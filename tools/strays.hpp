// SPDX-License-Identifier: MIT
// Processes of the session that nobody in it will wait for: their parent has ended, or was never watched. A
// pidfd each, as far as descriptors go: held from before its end, it tells the status after somebody else has reaped
// the process (F22 of the start-up report). For the rest a sweep finds out that they are gone, and not how.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "events.hpp"
#include "task.hpp"

namespace taskwatch {

class Strays {
  public:
    // At most a quarter of RLIMIT_NOFILE.
    void open();
    bool full() const { return count_ >= limit_; }
    // Watches this one from now on, if it is not watched yet and still is the process that `task` says.
    void watch(const Task &task, Events &events);

    struct End {
        Task task;
        int status;
        bool known;
    };
    // The end of the one with this key. False: it is a corpse that its parent has not reaped yet, whose status the
    // kernel tells nobody else; after a moment `give_up` takes what there is.
    bool ended(unsigned key, bool give_up, End &ret_end);
    // The corpses among them, for another look: the first key from `key` on, or -1.
    int next_corpse(unsigned key) const;

  private:
    static constexpr unsigned capacity = 1024;
    struct Stray {
        Task task;
        int pidfd = 0;  // 0: free
        bool corpse = false;
    };
    Stray strays_[capacity];
    uint16_t key_of_slot_[1 << 15] = {};  // plus one
    unsigned count_ = 0, limit_ = 0;
};

}  // namespace taskwatch
