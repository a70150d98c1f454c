// SPDX-License-Identifier: MIT
#include "columns.hpp"

#include <cstring>

#include "session.hpp"
#include "sys.hpp"

namespace taskwatch {

constinit Columns columns(session.memory, ledger);

// Gives the first free one a name if there is none of this name. -1: no session, or all are taken.
int Columns::column_of(const char *watcher) const {
    if (!memory_.attached() || !watcher) return -1;
    unsigned races = 0;
    for (unsigned i = 0; i < layout::columns; i++) {
        layout::Header::Column &c = memory_.header()->column[i];
        uint32_t claimed = c.claimed.load(std::memory_order_acquire);
        // Another process is writing the name: a few instructions, unless it was killed there.
        for (int spin = 0; claimed == 1 && spin < 1000; spin++) {
            sys::call(SYS_sched_yield);
            claimed = c.claimed.load(std::memory_order_acquire);
        }
        if (uint32_t free = 0; claimed == 0 && c.claimed.compare_exchange_strong(free, 1, std::memory_order_acq_rel)) {
            strncpy(c.name, watcher, layout::name_bytes - 1);
            c.claimed.store(2, std::memory_order_release);
            return (int)i;
        }
        if (claimed == 2 && strncmp(c.name, watcher, layout::name_bytes - 1) == 0) return (int)i;
        // Lost the race for this column: look at what the winner called it.
        if (claimed != 2 && races++ < 4) i--;
    }
    return -1;
}

unsigned Columns::number_of(const char *watcher, unsigned earlier) const {
    if (!memory_.attached() || !watcher) return 0;
    const uint64_t hash = (hash_of(watcher) + earlier * 0x9e3779b97f4a7c15) | 1;
    for (unsigned n = 0; n < layout::numbers; n++) {
        std::atomic<uint64_t> &place = memory_.header()->number[n];
        uint64_t seen = place.load(std::memory_order_relaxed);
        if (seen == 0 && place.compare_exchange_strong(seen, hash, std::memory_order_relaxed)) return n + 1;
        if (seen == hash) return n + 1;
    }
    return 0;
}

void *Columns::cell_of(uint64_t id, const char *watcher) {
    int column = column_of(watcher);
    return column < 0 ? nullptr : ledger_.cell_of(id, (unsigned)column);
}

void *Columns::shared(const char *watcher, size_t bytes) {
    if (bytes > TASKWATCH_SHARED_MAX) return nullptr;
    int column = column_of(watcher);
    return column < 0 ? nullptr : memory_.base() + layout::shared_offset + (size_t)column * TASKWATCH_SHARED_MAX;
}

bool Columns::once(const char *watcher, unsigned key) {
    int column = column_of(watcher);
    std::atomic<uint32_t> &bits =
        column >= 0 ? memory_.header()->column[column].once : own_once_[watcher ? hash_of(watcher) % 16 : 0];
    uint32_t bit = 1u << (key % 32);
    return !(bits.fetch_or(bit, std::memory_order_acq_rel) & bit);
}

bool Columns::fail(const char *watcher) {
    if (!memory_.attached()) return false;
    int column = column_of(watcher);
    memory_.header()->failed.fetch_or(1u << (column >= 0 ? column : 31), std::memory_order_acq_rel);
    return true;
}

bool Columns::failed() const {
    return memory_.attached() && memory_.header()->failed.load(std::memory_order_acquire) != 0;
}

bool Columns::failed_by(unsigned n, char (&ret_name)[32]) const {
    static_assert(sizeof ret_name == layout::name_bytes);
    if (!memory_.attached()) return false;
    uint32_t failed = memory_.header()->failed.load(std::memory_order_acquire);
    for (unsigned i = 0; i < layout::columns; i++) {
        if (!(failed & 1u << i) || n--) continue;
        memcpy(ret_name, memory_.header()->column[i].name, layout::name_bytes);
        ret_name[layout::name_bytes - 1] = '\0';
        for (char *c = ret_name; *c; c++)
            if (*c <= ' ' || *c > '~') *c = '?';
        return true;
    }
    return false;
}

}  // namespace taskwatch
