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

#include "claim.hpp"
#include "segment.hpp"
#include "slot_table.hpp"
#include "task.hpp"

namespace taskwatch {

class Ledger {
  public:
    explicit constexpr Ledger(Segment &memory) : memory_(memory), slots_(memory) {}

    // --- lives

    // A task about to be made. Fills slot and id; false if the ledger is full or absent: the id is then
    // unique in this process tree only and slot is Task::no_slot. Until it is settled it hangs on `parent`.
    bool enter(Task &task, const Task *parent);
    // It exists now and lives: pid, tgid, ppid and start_ns of `task` are recorded.
    void settle(const Task &task);
    // The living task with this pid, if it is known.
    bool find(pid_t pid, Task &ret_task) const;
    // The same for who calls itself `pid` and was never met: nobody who died under this pid before it began. A look at
    // /proc.
    bool find_living(pid_t pid, Task &ret_task) const;
    // In a new image: the task of this process; where a thread that was not the leader has executed, that thread's, which goes
    // on under the leader's pid and from its process's start. An exec that was not marked may be that of a process that was never
    // met: as above.
    bool find_after_exec(pid_t pid, Task &ret_task);
    // `task` is about to exec, or goes on since it has failed.
    void mark_exec(const Task &task, bool about_to);
    // The same of one whose end somebody has begun to tell.
    bool find_owing(pid_t pid, Task &ret_task) const;
    // `task`, a thread, is about to exec: if it succeeds the new image finds it under the leader's pid.
    // False: withdrawn.
    void mark_successor(const Task &leader, const Task &task, bool about_to);

    // --- claims; `by` is the caller's own task

    // Settles a child that is held: whoever holds the claim tells CLONE.
    void settle_held(const Task &task, const Task &by, Claim &ret_claim);
    // The creator is gone: the held child tells what it still owed. False: nothing is owed, or the task's end
    // was told already (is_ended).
    bool take_over_clone(const Task &task, const Task &by, Claim &ret_claim);
    void clone_told(Claim &claim);
    bool is_ended(const Task &task) const;

    // The right to tell what the task's end still owes. Without a session or slot always. True for one
    // caller at a time: also for one who takes over from an owner that is gone. `dead`: a process or thread that the
    // caller knows to be gone, 0: none. Never waits.
    bool claim_end(const Task &task, const Task &by, pid_t dead, Claim &ret_claim);
    // EXIT was told, or need not be: FREE is next.
    void exit_told(Claim &claim);
    // FREE was told: the slot may be used again.
    void leave(Claim &claim);
    // Another thread of this process has the claim: waits until it is through or gone, at most a second. False: there is
    // nothing to wait for here, another process has it or nobody.
    bool await_end(const Task &task, const Task &by) const;

    // --- all of them

    // Calls visit(context, task) for each task that no longer exists, and for each whose end is owed by somebody
    // who no longer exists. Returns how many.
    int for_each_dead(void (*visit)(void *context, const Task &task), void *context) const;
    // Calls visit(context, task) for each task that lives, as far as is known here.
    void for_each(void (*visit)(void *context, const Task &task), void *context) const;
    // Calls visit(context, task) for each task of process `leader.tgid` but `except` that began no earlier than `leader`:
    // an earlier one is owed by a process that had this pid before.
    void for_each_in_group(const Task &leader, const Task &except, void (*visit)(void *context, const Task &task),
                           void *context) const;
    // Tasks entered and not left.
    uint32_t living() const;
    // True if `task` is the only one left: the caller ends the session.
    bool is_last(const Task &task) const;
    // Whether any other lives whose end has not begun to be told.
    bool has_living_others(const Task &task) const;
    // The same by a look at each slot: whether any other has a task.
    bool has_others(const Task &task) const;
    // The cell of the task with this id in a watcher's column. Null: it has no slot (any more).
    void *cell_of(uint64_t id, unsigned column) const;

  private:
    bool attached() const { return memory_.attached(); }
    layout::Busy *busy() const { return reinterpret_cast<layout::Busy *>(memory_.base() + layout::busy_offset); }
    layout::Slot *slot_of(const Task &task, SlotWord &ret_word) const;
    bool take(uint32_t index, Task &task, const Task *parent);
    bool load(uint32_t index, Task &ret_task, SlotWord &ret_word) const;
    bool find_heir(pid_t pid, Task &ret_task) const;
    void record(layout::Slot &slot, const Task &task);
    void shadow_older(const Task &task);
    bool has_pid(uint32_t index, pid_t pid) const;
    bool is_gone(uint32_t owner, pid_t dead) const;
    bool is_owed(const Task &task, SlotWord word) const;
    uint32_t owner(const Task &by) const;
    void leave_group(layout::Slot &slot);

    Segment &memory_;
    SlotTable slots_;
    uint64_t own_ids_ = 0;
};

[[gnu::visibility("hidden")]] extern constinit Ledger ledger;

}  // namespace taskwatch
