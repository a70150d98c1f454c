// SPDX-License-Identifier: MIT
// The session's tasks: which there are, and who had INIT and still owes EXIT and FREE.
//
// Every process of the user can write to the session's memory. So each value is loaded once, masked and bounded
// before it is used, and nothing here loops or waits without a bound. All functions are async-signal-safe
// and may be called without a session: they then say so by their return value.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "segment.hpp"
#include "task.hpp"

namespace taskwatch {

class Ledger {
  public:
    explicit constexpr Ledger(Segment &memory) : memory_(memory) {}

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
    // True if the task with this id has a slot, whose index is returned.
    bool holds(uint64_t id, uint32_t &ret_index) const;

  private:
    bool attached() const { return memory_.attached(); }
    layout::Header *header() const { return memory_.header(); }
    layout::Slot *slot_at(uint32_t index) const;
    bool load(uint32_t index, Task &ret_task) const;
    bool find_heir(pid_t pid, Task &ret_task) const;
    bool take_slot(uint32_t from, uint32_t until, Task &task, const Task *parent);

    Segment &memory_;
    uint64_t own_ids_ = 0;
};

extern constinit Ledger ledger;

// The cell of slot `index` in a watcher's column; null if its segment is not to be had.
void *cell_at(const Segment &memory, uint32_t index, unsigned column);

}  // namespace taskwatch
