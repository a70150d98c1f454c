// SPDX-License-Identifier: MIT
// Where a child is held until CLONE is decided: a word in a page that creator and child alone share,
// so that it works without a session and no stranger can keep a child held.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace taskwatch {

struct alignas(64) Gate {
    enum State : uint32_t { closed, awaited, open, refused, taken };
    // The low three bits are the State, the rest a ticket: each use has another. A child that was released
    // and looks late, when its gate has been given to another creation, sees by it that it may go.
    std::atomic<uint32_t> word;
    std::atomic<uint32_t> child_pid;  // left by a child whose creator cannot know it yet
    std::atomic<uint32_t> used;      // this gate belongs to a creation
    const char *stopped_by;
    int32_t creator_tgid, creator_tid;
};

// One use of a gate. Plain data: the child has a copy.
struct Hold {
    Gate *gate = nullptr;
    uint32_t ticket = 0;
    explicit operator bool() const { return gate != nullptr; }
    Gate *operator->() const { return gate; }
};

// A gate of this process, or none: all are taken, or no memory. Async-signal-safe.
Hold take_gate(pid_t creator_tgid, pid_t creator_tid);
// Given back by the creator when the child has been released or is no more.
void return_gate(const Hold &hold);
// Creator: lets the child go, or tells a thread, which cannot be killed alone, to end itself. False if the
// child had taken over already.
bool open_gate(const Hold &hold);
void refuse_at_gate(const Hold &hold);
// Creator, inside fork: the pid that the child left, or 0 if it ended before that.
pid_t await_child_pid(const Hold &hold);

enum class Passage { released, refused, taken_over };
// Child: waits. taken_over: the creator is gone, and CLONE is this child's to tell.
Passage wait_at_gate(const Hold &hold, bool leave_pid);

// In the child of a fork: the gates here are the creator's; own ones come from a page of our own.
void forget_inherited_gates();

}  // namespace taskwatch
