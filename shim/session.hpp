// SPDX-License-Identifier: MIT
// One session: founded or found again, and what there is once in it. Who its tasks are is the
// ledger's, what watchers keep in it the columns'.
//
// All functions are async-signal-safe and may be called without a session: then this process is alone, and
// "once per session" is once per process.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "segment.hpp"

namespace taskwatch {

class Session {
  public:
    // Founds one. 0 or a positive errno.
    [[nodiscard]] int found(pid_t root);
    // Finds one by TASKWATCH_SESSION's value: see Segment::attach().
    [[nodiscard]] int attach(const char *name);
    bool attached() const { return memory.attached(); }
    bool is_of_our_pids() const { return memory.is_of_our_pids(); }
    void write_name(char (&ret_name)[64]) const { memory.write_name(ret_name); }
    // Random, never 0 with a session.
    uint64_t id() const { return id_; }
    // Removes its memory, which stays readable for this process.
    void close() { memory.remove(); }

    // The file, by its identity as a number, whose last record was cut off by the kernel; 0: none. The next
    // writer, as a rule another process, begins a new line.
    uint64_t torn_file() const;
    void set_torn_file(uint64_t file);

    // True once per session for this text; true without a session, and when too many were said.
    bool once_said(const char *text);

    // The list of watchers (and the folders) that an image of this session has loaded without a refusal.
    bool list_is_good(const char *watchers, const char *folders) const;
    void set_good_list(const char *watchers, const char *folders);

    void count_lost(int error);
    uint64_t lost(int *ret_error) const;
    // Events wanted by any process of the session, WATCH_MASK_ bits.
    void want(uint32_t mask);
    uint32_t wanted() const;

    // The session's standard streams, recorded by the process that founds it (without a session: by
    // this process at start-up), and the process whose /proc/PID/fd has them.
    const FileIdentity &stream(int fd) const { return streams_[fd]; }  // 1 or 2
    pid_t stream_process() const { return stream_process_; }
    // The session's first process.
    pid_t root() const { return root_; }
    // Founded for another process, which is made only then.
    void set_root(pid_t root);
    // For a process without a session: remembers its own streams.
    void record_own_streams(pid_t self);

    Segment memory;

    constexpr Session() = default;

  private:
    void use_own_streams(pid_t self);
    layout::Header *header() const { return memory.header(); }

    uint64_t id_ = 0;
    pid_t root_ = 0, stream_process_ = 0;
    FileIdentity streams_[3] = {};
    std::atomic<uint64_t> own_lost_{0};
    std::atomic<int> own_lost_error_{0};
};

[[gnu::visibility("hidden")]] extern constinit Session session;

// Of a text, for tables in the session's memory. Never a secret's.
uint64_t hash_of(const char *text);

}  // namespace taskwatch
