// SPDX-License-Identifier: MIT
// The session's memory: which tasks there are, who had INIT and still owes EXIT and FREE, the
// watchers' cells and shared words. A System V segment, found again after exec by the id and the
// secret in TASKWATCH_SESSION: one system call, no descriptor, no path, no SIGBUS, no SIGXFSZ.
//
// Every process of the user can write to it. So each value is loaded once, masked and bounded before
// it is used, and nothing here loops or waits without a bound. All functions are async-signal-safe
// and may be called without a session: they then say so by their return value.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "task.hpp"

namespace taskwatch {

// What a file is, to recognise it: fstat's st_dev, st_ino, st_rdev. All 0: none.
struct FileIdentity {
    uint64_t dev = 0, ino = 0, rdev = 0;
    bool operator==(const FileIdentity &) const = default;
};

class Ledger {
  public:
    // Founds a session. 0 or a positive errno. Stale segments of this user are removed first.
    [[nodiscard]] int found(pid_t root);
    // Finds one. `name`: TASKWATCH_SESSION's value. 0, or EINVAL (not a name), EIDRM (not there any
    // more), EPERM (not ours to trust), EPROTO (another layout).
    [[nodiscard]] int attach(const char *name);
    bool attached() const { return base_ != nullptr; }
    // "id:secret" for TASKWATCH_SESSION. 40 bytes are enough.
    void write_name(char (&ret_name)[64]) const;
    // Random, never 0 with a session.
    uint64_t session() const { return session_; }

    // A task about to be made. Fills slot and id; false if the ledger is full or absent: the id is then
    // unique in this process tree only and slot is Task::no_slot.
    bool enter(Task &task, const Task *parent);
    // It exists now: pid, tgid, ppid and start_ns of `task` are recorded.
    void settle(const Task &task);
    // The living task with this pid, if it is known. In a new image (`after_exec`) of a thread that was not the
    // leader: that thread's task, which goes on under the leader's pid.
    bool find(pid_t pid, Task &ret_task) const;
    bool find_after_exec(pid_t pid, Task &ret_task);
    // The right to deliver EXIT and FREE: true for exactly one caller a task. Without a session or
    // slot always true.
    bool claim_end(const Task &task);
    // After FREE: the slot may be used again; its cells are zeroed.
    void leave(const Task &task);
    // Calls visit(context, task) for each unclaimed task that no longer exists. Returns how many.
    int for_each_dead(void (*visit)(void *context, const Task &task), void *context) const;
    // Calls visit(context, task) for each unclaimed task of process `tgid` but `except`.
    void for_each_in_group(pid_t tgid, const Task &except, void (*visit)(void *context, const Task &task),
                           void *context) const;
    // `task`, a thread, is about to exec: if it succeeds the new image finds it under the leader's pid.
    // False: withdrawn.
    void mark_successor(const Task &leader, const Task &task, bool about_to);
    // Tasks entered and not left.
    uint32_t living() const;
    // True if `task` is the only one left: the caller ends the session.
    bool is_last(const Task &task) const;
    // From now on no system call is made here: no further segment is made or mapped (R16).
    void be_quiet() { quiet_ = true; }
    // Removes the segment. The memory stays readable for this process.
    void close_session();

    void *cell(uint32_t slot, const char *watcher);
    // The same by id; null if that task has no slot (any more).
    void *cell_of(uint64_t id, const char *watcher);
    void *shared(const char *watcher, size_t bytes);

    // True once per session for (watcher, key < 32); once per process without a session.
    bool once(const char *watcher, unsigned key);

    // The file, by its identity as a number, whose last record was cut off by the kernel; 0: none. The next
    // writer, as a rule another process, begins a new line.
    uint64_t torn_file() const;
    void set_torn_file(uint64_t file);

    // True once per session for this text; true without a session, and when too many were said.
    bool once_said(const char *text);

    // The list of watchers (and the folders) that an image of this session has loaded without a refusal.
    bool list_is_good(const char *watchers, const char *folders) const;
    void set_good_list(const char *watchers, const char *folders);

    // The session has failed in this watcher's eyes. False without a session.
    bool fail(const char *watcher);
    bool failed() const;
    // The n-th watcher that says so, copied and printable; false: there are no more. For the launcher's last line.
    bool failed_by(unsigned n, char (&ret_name)[32]) const;

    void count_lost(int error);
    uint64_t lost(int *ret_error) const;
    // Events wanted by any process of the session, WATCH_MASK_ bits.
    void want(uint32_t mask);
    uint32_t wanted() const;

    // The session's standard streams, recorded by the process that founds it (without a session: by
    // this process at start-up), and the process whose /proc/PID/fd has them.
    const FileIdentity &stream(int fd) const { return streams_[fd]; }  // 1 or 2
    pid_t root() const { return root_; }
    // For a process without a session: remembers its own streams.
    void record_own_streams(pid_t self);

    struct Header;
    struct Slot;
    constexpr Ledger() = default;

  private:
    static void remove_stale_sessions();
    Slot *slot_at(uint32_t index) const;
    bool load(uint32_t index, Task &ret_task) const;
    bool find_heir(pid_t pid, Task &ret_task) const;
    bool take_slot(uint32_t from, uint32_t until, Task &task, const Task *parent);
    int column_of(const char *watcher) const;
    Header *header() const { return reinterpret_cast<Header *>(base_); }
    bool grow();
    char *extension(uint32_t chunk) const;

    char *base_ = nullptr;
    static constexpr uint32_t max_extensions = 16;
    mutable std::atomic<char *> extensions_[max_extensions] = {};
    int segment_ = -1;
    bool quiet_ = false;
    uint64_t secret_ = 0;
    uint64_t session_ = 0;
    uint64_t own_ids_ = 0;
    pid_t root_ = 0;
    FileIdentity streams_[3] = {};
    std::atomic<uint64_t> own_lost_{0};
    std::atomic<int> own_lost_error_{0};
    std::atomic<uint32_t> own_once_[16] = {};
};

extern constinit Ledger ledger;

}  // namespace taskwatch
