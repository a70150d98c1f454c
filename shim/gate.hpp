// SPDX-License-Identifier: MIT
// Where a child is held until CLONE is decided: a word in a page that creator and child alone share,
// so that it works without a session and no stranger can keep a child held.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace taskwatch {

struct alignas(64) Gate {
    enum State : uint32_t { closed, awaited, open, taken };
    std::atomic<uint32_t> state;
    std::atomic<uint32_t> child_pid;  // left by a child whose creator cannot know it yet
    std::atomic<uint32_t> used;      // this gate belongs to a creation
    std::atomic<uint32_t> refused;   // opened for a thread that is to end itself
    const char *stopped_by;
    int32_t creator_tgid, creator_tid;
};

// A gate of this process, or null: none is free, or no memory. Async-signal-safe.
Gate *take_gate(pid_t creator_tgid, pid_t creator_tid);
// Given back by the creator when the child has been released or is no more.
void return_gate(Gate *gate);
// Creator: lets the child go. False if the child had taken over already.
bool open_gate(Gate *gate);
// Creator, inside fork: the pid that the child left, or 0 if it ended before that.
pid_t await_child_pid(Gate *gate);

// Child: waits. True: released. False: the creator is gone and this child has taken over.
bool wait_at_gate(Gate *gate, bool leave_pid);

// In the child of a fork: the gates here are the creator's; own ones come from a page of our own.
void forget_inherited_gates();

}  // namespace taskwatch
