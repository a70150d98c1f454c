// SPDX-License-Identifier: MIT
// Where everything is in a session's memory, and nothing else. Every process of the user can write
// here: whoever reads loads a value once, masks and bounds it.
#pragma once

#include <taskwatch/taskwatch.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace taskwatch {

// What a file is, to recognise it: fstat's st_dev, st_ino, st_rdev. All 0: none.
struct FileIdentity {
    uint64_t dev = 0, ino = 0, rdev = 0;
    bool operator==(const FileIdentity &) const = default;
};

namespace layout {

inline constexpr uint32_t version = 1;
inline constexpr uint64_t magic = 0x31776b7361740a00;

// The first segment: a page of header, 128 slots, and for each of eight watchers a column of cells
// and a page of shared words. 64 KiB: a larger mapping costs every fork (F17 of the start-up report).
inline constexpr size_t first_bytes = 64 * 1024;
inline constexpr uint32_t first_slots = 128;
inline constexpr unsigned columns = TASKWATCH_CELL_WATCHERS;
inline constexpr size_t slots_offset = 4096;
inline constexpr size_t first_cells_offset = slots_offset + first_slots * 64;
inline constexpr size_t shared_offset = first_cells_offset + columns * first_slots * TASKWATCH_CELL_SIZE;
// Every further one: 2048 slots and their columns; untouched columns cost no memory.
inline constexpr uint32_t extension_slots = 2048;
inline constexpr uint32_t max_extensions = 16;
inline constexpr size_t extension_bytes = extension_slots * (64 + columns * TASKWATCH_CELL_SIZE);
inline constexpr uint32_t capacity = 1u << 15;  // indices fit 16 bits of an id
inline constexpr unsigned hints = 1024;
inline constexpr unsigned name_bytes = 32;

struct alignas(64) Slot {
    std::atomic<uint64_t> word;  // the truth: see ledger.cpp
    std::atomic<int32_t> pid, tgid, ppid;
    std::atomic<uint32_t> successor;  // slot (from 1) of the thread that is about to exec
    std::atomic<uint64_t> parent_id;
    std::atomic<uint64_t> start_ns;
    std::atomic<int32_t> creator;  // pid of the creating process, for a creation that was never settled
};

struct Header {
    uint64_t magic;
    uint32_t version;
    uint32_t columns_used;
    uint64_t secret;
    uint64_t session;
    int32_t root;
    std::atomic<uint32_t> wanted;
    FileIdentity streams[3];
    std::atomic<uint32_t> slots;        // in all segments
    std::atomic<uint32_t> living_count;
    std::atomic<uint64_t> lost;
    std::atomic<int32_t> lost_error;
    std::atomic<uint64_t> torn_file;
    std::atomic<uint64_t> good_list;    // hash of a list of watchers, 0: none
    std::atomic<uint64_t> said[16];     // texts that were printed, by their hash; 0: free
    std::atomic<int32_t> extension_ids[max_extensions];  // plus one; 0: none
    std::atomic<uint32_t> growing;
    std::atomic<uint32_t> failed;       // by which watchers: a bit a column, the highest: one without a column
    std::atomic<uint32_t> lowest;       // no slot below it was free a moment ago: where the search starts
    struct Column {
        std::atomic<uint32_t> claimed;  // 0 free, 1 being named, 2 named
        std::atomic<uint32_t> once;
        char name[name_bytes];
    } column[columns];
    std::atomic<uint16_t> hint[hints];  // slot + 1 of a pid, by its low bits; checked, never trusted
};

static_assert(shared_offset + columns * TASKWATCH_SHARED_MAX <= first_bytes);
static_assert(sizeof(Header) <= slots_offset && sizeof(Slot) == 64);

}  // namespace layout
}  // namespace taskwatch
