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

// A 32-bit process lays the same structures out otherwise: it keeps to sessions of its own.
inline constexpr uint32_t version = sizeof(void *) == 8 ? 3 : 0x10003;
inline constexpr uint64_t magic = 0x31776b7361740a00;
inline constexpr uint64_t extension_magic = 0x32776b7361740a00;

// The first segment: three pages of header, what every end writes, and slots, the first twenty in the header's page, so
// that a process of a small tree touches one page of it; then for each of eight watchers a column of cells and a page of
// shared words. 64 KiB: a larger mapping costs every fork, and each page that a child touches costs it another one (F17
// of the start-up report): the kernel maps nothing around a page of a System V segment.
inline constexpr size_t first_bytes = 64 * 1024;
inline constexpr uint32_t first_slots = 124;
inline constexpr unsigned columns = TASKWATCH_CELL_WATCHERS;
inline constexpr size_t busy_offset = 2560;
inline constexpr size_t slots_offset = busy_offset + 64;
inline constexpr size_t first_cells_offset = 3 * 4096;
inline constexpr size_t shared_offset = first_cells_offset + 4 * 4096;
// Every further one: 2048 slots, what finds them, and their columns; untouched columns cost no memory.
inline constexpr uint32_t extension_slots = 2048;
inline constexpr uint32_t max_extensions = 15;
inline constexpr uint32_t capacity = 1u << 15;  // of indices
inline constexpr unsigned name_bytes = 32;
inline constexpr unsigned numbers = 31;  // of watchers, from 1

// Which slots are probably free: a bit each, lowest first, so that memory is used again before more is.
// Only a hint; the truth is the slot's word.
template <uint32_t count>
struct FreeMap {
    static constexpr uint32_t words = (count + 63) / 64;
    std::atomic<uint64_t> free[words];
};

// Where to look for a pid: open addressing, an entry is a tag of the pid and a slot of the same segment. Checked, never
// trusted.
template <uint32_t entries>
struct PidMap {
    static constexpr uint32_t size = entries;
    std::atomic<uint32_t> overflown;  // some pid found no room: all slots are to be looked at
    std::atomic<uint16_t> entry[entries];
};

struct alignas(64) Slot {
    std::atomic<uint64_t> word;  // see slot_word.hpp
    std::atomic<int32_t> pid, tgid, ppid;
    std::atomic<uint32_t> successor;  // slot (from 1) of the thread that is about to exec
    std::atomic<uint64_t> parent_id;
    std::atomic<uint64_t> start_ns;
    std::atomic<uint32_t> told_clone, told_exit, told_free;  // watchers by number, a bit each
    std::atomic<uint32_t> begun;     // those that an owner who is gone had begun to call, in this phase
    std::atomic<uint16_t> leader;   // of a thread: slot (from 1) of its process's main task
    std::atomic<uint16_t> threads;  // of a main task: how many threads it has entered
    std::atomic<uint16_t> execs;    // not 0: it is about to exec, through us
};

// Programs that were executed and could not be watched: how many of each name, and last of all others together.
inline constexpr uint32_t missed_names = 8, missed_name_bytes = 32;
inline constexpr uint32_t missed_forecasts = 16;
struct MissedName {
    std::atomic<uint32_t> state;  // 0 free, 1 being written, 2 written
    char text[missed_name_bytes];
};
struct MissedForecast {
    std::atomic<uint64_t> task;  // id of who executes it; 0: none
    std::atomic<uint32_t> place;
};
struct MissedList {
    std::atomic<uint32_t> line;       // 0 not wanted, 1 wanted, 2 written
    std::atomic<uint32_t> forecasts;  // ever made; the newest are kept
    std::atomic<uint32_t> count[missed_names + 1];
    MissedName name[missed_names];
    MissedForecast forecast[missed_forecasts];
};

struct Header {
    uint64_t magic;
    uint32_t version;
    int32_t root;
    uint64_t secret;
    uint64_t session;
    std::atomic<uint32_t> wanted;
    FileIdentity streams[3];
    std::atomic<uint32_t> slots;        // in all segments
    std::atomic<uint64_t> lost;
    std::atomic<int32_t> lost_error;
    std::atomic<uint64_t> torn_file;
    std::atomic<uint64_t> good_list;    // hash of a list of watchers, 0: none
    std::atomic<uint64_t> said[16];     // texts that were printed, by their hash; 0: free
    std::atomic<int32_t> extension_ids[max_extensions];  // plus one; 0: none
    std::atomic<int32_t> growing;       // pid of who makes an extension; 0: nobody
    std::atomic<uint32_t> has_cells;    // columns that anybody has used a cell of, a bit each
    std::atomic<uint32_t> failed;       // by which watchers: a bit a column, the highest: one without a column
    struct Column {
        std::atomic<uint32_t> claimed;  // 0 free, 1 being named, 2 named
        std::atomic<uint32_t> once;
        char name[name_bytes];
    } column[columns];
    std::atomic<uint64_t> number[numbers];  // of a watcher's name, by its hash; 0: free
    PidMap<512> pids;                       // of the first segment's slots
    MissedList missed;
};

// What every end of a task writes.
struct Busy {
    std::atomic<uint32_t> living;      // tasks entered and not left
    std::atomic<uint32_t> extensions;  // those with a slot that is probably free, a bit each
    FreeMap<first_slots> first;
    std::atomic<uint32_t> successors;  // not 0: a thread that is no leader has been about to exec
};

struct Extension {
    uint64_t magic;
    uint64_t secret;   // the session's
    int32_t first_id;  // id of the first segment
    FreeMap<extension_slots> map;
    PidMap<4096> pids;
};

inline constexpr size_t extension_slots_offset = 3 * 4096;
inline constexpr size_t extension_cells_offset = extension_slots_offset + extension_slots * sizeof(Slot);
inline constexpr size_t extension_bytes = extension_cells_offset + columns * extension_slots * TASKWATCH_CELL_SIZE;

// What the kernel is asked for: numbers that nobody else uses, which map the same pages. By its size a segment is known
// whose maker was killed before it wrote a word.
inline constexpr size_t first_size = first_bytes - 1319;
inline constexpr size_t extension_size = extension_bytes - 1319;

static_assert(sizeof(Slot) == 64);
static_assert(sizeof(Header) <= busy_offset && busy_offset + sizeof(Busy) <= slots_offset);
static_assert(slots_offset + first_slots * sizeof(Slot) <= first_cells_offset);
static_assert(first_cells_offset + columns * first_slots * TASKWATCH_CELL_SIZE <= shared_offset);
static_assert(shared_offset + columns * TASKWATCH_SHARED_MAX <= first_bytes);
static_assert(sizeof(Extension) <= extension_slots_offset);
static_assert(first_slots + max_extensions * extension_slots <= capacity);

}  // namespace layout
}  // namespace taskwatch
