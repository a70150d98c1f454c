// SPDX-License-Identifier: MIT
// A session's memory as the kernel has it: one System V segment, found again after exec by its id and a
// secret, and further ones as the tasks become more. One system call, no descriptor, no path, no SIGBUS, no
// SIGXFSZ (F8 to F13 of the start-up report).
//
// Async-signal-safe. It is never unmapped: somebody may be reading.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "session_layout.hpp"

namespace taskwatch {

class Segment {
  public:
    // Makes the first segment, with version and secret in it; stale ones of this user are removed first. The
    // caller fills the header and then calls publish(). 0 or a positive errno.
    [[nodiscard]] int make();
    void publish();
    // Finds one. `name`: TASKWATCH_SESSION's value. 0, or EINVAL (not a name), EIDRM (not there any
    // more), EPERM (not ours to trust), EPROTO (another layout).
    [[nodiscard]] int attach(const char *name);
    bool attached() const { return base_ != nullptr; }
    // "id:secret", for attach() in another process. 40 bytes are enough.
    void write_name(char (&ret_name)[64]) const;
    // Lets another user find the session too, before this process becomes that user: afterwards it could not. Two users
    // only, the one who made it and the first it was given to; never root. True if it was given: take_back() undoes it.
    bool give_to(uid_t user);
    void take_back();
    // Another user than this process's can write here, though this one has made it: what it says of files and processes
    // is not to be followed.
    bool is_given_away() const { return given_away_; }
    // Removes all of it. What is mapped stays readable for this process.
    void remove();

    layout::Header *header() const { return reinterpret_cast<layout::Header *>(base_); }
    char *base() const { return base_; }
    // The memory of a further segment; null if there is none.
    char *extension(uint32_t chunk) const;
    // Makes one more. Whoever wins makes it; the others wait for that, for 50 ms at most. True if it may be there.
    bool grow();
    // From now on no system call is made here: no further segment is made or mapped (R16).
    void be_quiet() { quiet_ = true; }
    bool is_quiet() const { return quiet_; }
    // False in a pid namespace that its maker is not in: the process ids in it are none of ours. One system call.
    bool is_of_our_pids() const;

    constexpr Segment() = default;
    Segment(const Segment &) = delete;
    Segment &operator=(const Segment &) = delete;

  private:
    bool await_growth() const;
    layout::Extension *make_extension(int &ret_id) const;

    char *base_ = nullptr;
    mutable std::atomic<char *> extensions_[layout::max_extensions] = {};
    int id_ = -1;
    bool quiet_ = false;
    bool given_away_ = false;
    uint64_t secret_ = 0;
};

// Never 0.
uint64_t random_word();

}  // namespace taskwatch
