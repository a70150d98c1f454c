// SPDX-License-Identifier: MIT
// What watchers keep in the session's memory: a column of cells, one for each task, shared words, and
// bits that are set once. A column belongs to a watcher's name.
//
// Async-signal-safe; without a session there are no cells and no shared words.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ledger.hpp"
#include "segment.hpp"

namespace taskwatch {

class Columns {
  public:
    constexpr Columns(const Segment &memory, const Ledger &ledger) : memory_(memory), ledger_(ledger) {}

    // By which number a watcher is known in the session, 1 to 31, in every process the same: for claims.
    // `earlier`: how many blocks of this name are before it in the chain. 0: none, there are too many.
    unsigned number_of(const char *watcher, unsigned earlier) const;
    // As in taskwatch.h. Null if that task has no slot (any more).
    void *cell_of(uint64_t id, const char *watcher);
    void *shared(const char *watcher, size_t bytes);
    // True once per session for (watcher, key < 32); once per process without a session.
    bool once(const char *watcher, unsigned key);

    // The session has failed in this watcher's eyes. False without a session.
    bool fail(const char *watcher);
    bool failed() const;
    // The n-th watcher that says so, copied and printable; false: there are no more. For the launcher's last line.
    bool failed_by(unsigned n, char (&ret_name)[32]) const;

  private:
    int column_of(const char *watcher) const;

    const Segment &memory_;
    const Ledger &ledger_;
    std::atomic<uint32_t> own_once_[16] = {};
};

[[gnu::visibility("hidden")]] extern constinit Columns columns;

// For Chain::add().
inline unsigned watcher_number(const char *watcher, unsigned earlier) { return columns.number_of(watcher, earlier); }

}  // namespace taskwatch
