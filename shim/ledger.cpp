// SPDX-License-Identifier: MIT
#include "ledger.hpp"

#include <cerrno>
#include <cstring>

#include "backoff.hpp"
#include "clock.hpp"
#include "death.hpp"
#include "process_stat.hpp"
#include "session.hpp"
#include "sys.hpp"

namespace taskwatch {

using namespace layout;

constinit Ledger ledger(session.memory);

// --- lives

bool Ledger::take(uint32_t index, Task &task, const Task *parent) {
    Slot *slot = slots_.at(index);
    if (!slot) return false;
    const SlotWord before(slot->word.load(std::memory_order_relaxed));
    if (before.phase() != Phase::vacant) return false;
    // Counted first: who is killed here leaves one too many, which ends no session too early.
    busy()->living.fetch_add(1, std::memory_order_relaxed);
    uint64_t expected = before;
    const SlotWord word = before.with(Phase::entered, parent ? owner(*parent) : SlotWord::owner_outside(sys::gettid()));
    if (!slot->word.compare_exchange_strong(expected, word, std::memory_order_acq_rel)) {
        busy()->living.fetch_sub(1, std::memory_order_relaxed);
        return false;
    }
    slot->pid.store(0, std::memory_order_relaxed);
    slot->start_ns.store(0, std::memory_order_relaxed);
    slot->execs.store(0, std::memory_order_relaxed);
    slot->parent_id.store(task.parent_id, std::memory_order_relaxed);
    // Those that nobody has used are 0, and would be a page fault.
    for (uint32_t used = memory_.header()->has_cells.load(std::memory_order_relaxed) & ((1u << columns) - 1); used; used &= used - 1)
        if (void *cell = slots_.cell(index, (unsigned)__builtin_ctz(used))) memset(cell, 0, TASKWATCH_CELL_SIZE);
    task.slot = index + 1;
    task.id = word.id(index);
    // A thread is counted at its process's main task, so that the end of a process without any looks for none.
    SlotWord parents(0);
    Slot *creator = task.tgid && parent ? slot_of(*parent, parents) : nullptr;
    if (creator) {
        uint16_t leader = creator->leader.load(std::memory_order_relaxed);
        if (leader == 0) leader = (uint16_t)parent->slot;
        slot->leader.store(leader, std::memory_order_relaxed);
        slot->tgid.store(task.tgid, std::memory_order_relaxed);
        if (Slot *main = slots_.at(leader - 1u)) main->threads.fetch_add(1, std::memory_order_relaxed);
    }
    return true;
}

bool Ledger::enter(Task &task, const Task *parent) {
    task.slot = Task::no_slot;
    task.parent_id = parent ? parent->id : 0;
    for (int attempt = 0; attempt < 64; attempt++) {
        const int index = slots_.reserve();
        if (index < 0) break;
        if (take((uint32_t)index, task, parent)) return true;
    }
    // Alone: unique on this machine while its maker lives, which is what there is to say.
    task.id = uint64_t{memory_.is_quiet() ? 0 : (uint32_t)sys::getpid()} << 32 |
              (__atomic_add_fetch(&own_ids_, 1, __ATOMIC_RELAXED) & UINT32_MAX);
    return false;
}

// The slot of `task` if it still is that task's.
Slot *Ledger::slot_of(const Task &task, SlotWord &ret_word) const {
    Slot *slot = task.slot == Task::no_slot ? nullptr : slots_.at(task.slot - 1);
    if (!slot) return nullptr;
    ret_word = SlotWord(slot->word.load(std::memory_order_acquire));
    return ret_word.is_used() && ret_word.id(task.slot - 1) == task.id ? slot : nullptr;
}

// A pid that is given to a new task belonged to one that is no more, whose end nobody has told yet (its parent was killed
// too). Its slot keeps the pid as a negative number: it is not found by it any more, and the new one is not
// mistaken for it.
void Ledger::shadow_older(const Task &task) {
    slots_.find(task.pid, [&](uint32_t index) {
        Slot *slot = index + 1 == task.slot ? nullptr : slots_.at(index);
        int32_t pid = task.pid;
        if (slot && SlotWord(slot->word.load(std::memory_order_acquire)).is_used())
            slot->pid.compare_exchange_strong(pid, -pid, std::memory_order_acq_rel);
        return false;
    });
}

bool Ledger::has_pid(uint32_t index, pid_t pid) const {
    const Slot *slot = slots_.at(index);
    return slot && slot->pid.load(std::memory_order_acquire) == pid;
}

void Ledger::record(Slot &slot, const Task &task) {
    if (task.pid > 0) shadow_older(task);
    slot.tgid.store(task.tgid, std::memory_order_relaxed);
    slot.ppid.store(task.ppid, std::memory_order_relaxed);
    // Whoever is first: a child that nobody holds may have made threads before its creator comes here, which must not look
    // older than it.
    uint64_t none = 0;
    slot.start_ns.compare_exchange_strong(none, task.start_ns, std::memory_order_relaxed);
    slot.pid.store(task.pid, std::memory_order_release);
    slots_.index_pid(task.slot - 1, task.pid);
}

void Ledger::settle(const Task &task) {
    SlotWord word(0);
    Slot *slot = slot_of(task, word);
    // A child that nobody holds may have settled itself, and be gone already.
    if (!slot || !word.is_alive()) return;
    record(*slot, task);
    uint64_t expected = word;
    if (word.phase() == Phase::entered)
        slot->word.compare_exchange_strong(expected, word.with(Phase::living, 0), std::memory_order_acq_rel);
}

bool Ledger::load(uint32_t index, Task &ret_task, SlotWord &ret_word) const {
    Slot *slot = slots_.at(index);
    if (!slot) return false;
    ret_word = SlotWord(slot->word.load(std::memory_order_acquire));
    if (!ret_word.is_used()) return false;
    // Until it is settled there is none, or the last one's.
    const pid_t pid = ret_word.phase() == Phase::entered ? 0 : slot->pid.load(std::memory_order_acquire);
    ret_task.pid = pid < 0 ? (pid_t)-(uint32_t)pid : pid;
    ret_task.tgid = slot->tgid.load(std::memory_order_relaxed);
    ret_task.ppid = slot->ppid.load(std::memory_order_relaxed);
    ret_task.parent_id = slot->parent_id.load(std::memory_order_relaxed);
    ret_task.start_ns = slot->start_ns.load(std::memory_order_relaxed);
    ret_task.slot = index + 1;
    ret_task.id = ret_word.id(index);
    ret_task.adopted = false;
    return true;
}

bool Ledger::find(pid_t pid, Task &ret_task) const {
    if (pid <= 0) return false;
    SlotWord word(0);
    return slots_.find(pid, [&](uint32_t index) { return has_pid(index, pid) && load(index, ret_task, word) && word.is_alive() && ret_task.pid == pid; });
}

bool Ledger::find_owing(pid_t pid, Task &ret_task) const {
    if (pid <= 0) return false;
    SlotWord word(0);
    return slots_.find(pid, [&](uint32_t index) { return has_pid(index, pid) && load(index, ret_task, word) && ret_task.pid == pid; });
}

void Ledger::mark_exec(const Task &task, bool about_to) {
    SlotWord word(0);
    if (Slot *slot = slot_of(task, word)) slot->execs.store(about_to, std::memory_order_relaxed);
}

void Ledger::mark_successor(const Task &leader, const Task &task, bool about_to) {
    const uint32_t mark = about_to ? task.slot : 0;
    SlotWord word(0);
    if (about_to && memory_.attached()) busy()->successors.store(1, std::memory_order_relaxed);
    // At its own place too: a leader that left by pthread_exit has none any more.
    if (Slot *own = slot_of(task, word)) own->successor.store(mark, std::memory_order_release);
    if (Slot *slot = slot_of(leader, word)) slot->successor.store(mark, std::memory_order_release);
}

// The thread of process `pid` that was about to exec when its leader was gone already.
bool Ledger::find_heir(pid_t pid, Task &ret_task) const {
    SlotWord word(0);
    // As a rule there is none, and a new task would not look at all places for that.
    if (!memory_.attached() || busy()->successors.load(std::memory_order_relaxed) == 0) return false;
    for (uint32_t i = 0, end = slots_.size(); i < end; i++)
        if (load(i, ret_task, word) && word.is_alive() && ret_task.tgid == pid &&
            slots_.at(i)->successor.load(std::memory_order_acquire) == i + 1)
            return true;
    return false;
}

bool Ledger::find_living(pid_t pid, Task &ret_task) const {
    return find(pid, ret_task) && is_process_of(pid, ret_task.start_ns);
}

bool Ledger::find_after_exec(pid_t pid, Task &ret_task) {
    Task task;
    SlotWord word(0);
    ProcessStat stat;
    uint16_t threads = 0;
    uint64_t since = 0;
    if (find(pid, ret_task)) {
        Slot *slot = slots_.at(ret_task.slot - 1);
        since = ret_task.start_ns;
        uint32_t successor = slot->successor.exchange(0, std::memory_order_acq_rel);
        const bool seen = slot->execs.exchange(0, std::memory_order_relaxed);
        if (successor == 0 || !load(successor - 1, task, word) || !word.is_alive() || task.tgid != pid)
            return seen || is_process_of(pid, ret_task.start_ns);
        threads = slot->threads.load(std::memory_order_relaxed);
    } else if (find_heir(pid, task)) {
        // The leader's slot is another's by now. When it began the kernel knows.
        if (read_process_stat(pid, stat)) since = stat.start_ns;
    } else {
        return false;
    }
    Slot *slot = slots_.at(task.slot - 1);
    slot->successor.store(0, std::memory_order_relaxed);
    slot->execs.store(0, std::memory_order_relaxed);
    slot->pid.store(pid, std::memory_order_release);
    // The main task from now on. Those that the exec cut off, the old leader's among them, are still to be told.
    slot->leader.store(0, std::memory_order_relaxed);
    slot->threads.store((uint16_t)(threads + 1), std::memory_order_relaxed);
    task.pid = pid;
    // As the kernel has it. By this the others are known that the exec cut off, should this process not come to tell them.
    if (since) slot->start_ns.store(task.start_ns = since, std::memory_order_relaxed);
    slots_.index_pid(task.slot - 1, pid);
    ret_task = task;
    return true;
}

// --- claims

uint32_t Ledger::owner(const Task &by) const {
    SlotWord word(0);
    if (slot_of(by, word)) return SlotWord::owner_in(by.slot - 1, word.generation());
    return by.pid ? SlotWord::owner_outside(by.pid) : 0;
}

bool Ledger::is_gone(uint32_t owner, pid_t dead) const {
    if (owner == 0) return true;
    if (SlotWord::owns_no_slot(owner)) return SlotWord::tid_of(owner) == dead || runs_no_code(SlotWord::tid_of(owner));
    Task task;
    SlotWord word(0);
    if (!load(SlotWord::index_of(owner), task, word) || !word.is_of_owner(owner)) return true;
    if (task.pid == 0) return false;  // between two steps
    return (dead != 0 && (task.pid == dead || task.tgid == dead)) || runs_no_code(task.pid, task.start_ns);
}

void Ledger::settle_held(const Task &task, const Task &by, Claim &ret_claim) {
    SlotWord word(0);
    Slot *slot = slot_of(task, word);
    if (!slot || word.phase() != Phase::entered) return;
    record(*slot, task);
    ret_claim.on(*slot, task.slot - 1, word);
    ret_claim.advance(word.with(Phase::cloning, owner(by)));
}

bool Ledger::take_over_clone(const Task &task, const Task &by, Claim &ret_claim) {
    SlotWord word(0);
    Slot *slot = slot_of(task, word);
    if (!slot) return task.slot == Task::no_slot;
    if (word.phase() != Phase::entered && word.phase() != Phase::cloning) return false;
    if (word.phase() == Phase::entered) record(*slot, task);
    ret_claim.on(*slot, task.slot - 1, word);
    const bool begun = word.phase() == Phase::cloning;
    const bool won = ret_claim.advance(word.with(Phase::cloning, owner(by), word.cursor()));
    if (won && begun) ret_claim.take_over();
    return won;
}

void Ledger::clone_told(Claim &claim) {
    if (claim.slot) claim.advance(claim.word.with(Phase::living, 0));
}

bool Ledger::is_ended(const Task &task) const {
    SlotWord word(0);
    return task.slot != Task::no_slot && (!slot_of(task, word) || !word.is_alive());
}

bool Ledger::claim_end(const Task &task, const Task &by, pid_t dead, Claim &ret_claim) {
    ret_claim = Claim{};
    if (task.slot == Task::no_slot || !attached()) return true;
    SlotWord word(0);
    Slot *slot = slot_of(task, word);
    if (!slot) return false;
    const bool begun = !word.is_alive();
    if (begun && !is_gone(word.owner(), dead)) return false;
    ret_claim.on(*slot, task.slot - 1, word);
    const bool won = begun ? ret_claim.advance(word.with(word.phase(), owner(by), word.cursor()))
                           : ret_claim.advance(word.with(Phase::exiting, owner(by)));
    if (won && begun) ret_claim.take_over();
    return won;
}

void Ledger::exit_told(Claim &claim) {
    if (claim.slot && claim.word.phase() == Phase::exiting) claim.advance(claim.word.with(Phase::freeing, claim.word.owner()));
}

// A thread's place in its process's count.
void Ledger::leave_group(Slot &slot) {
    const uint16_t leader = slot.leader.exchange(0, std::memory_order_relaxed);
    Slot *main = leader ? slots_.at(leader - 1u) : nullptr;
    if (!main || main->tgid.load(std::memory_order_relaxed) != slot.tgid.load(std::memory_order_relaxed)) return;
    uint16_t threads = main->threads.load(std::memory_order_relaxed);
    while (threads != 0 && !main->threads.compare_exchange_weak(threads, (uint16_t)(threads - 1), std::memory_order_relaxed)) {
    }
}

void Ledger::leave(Claim &claim) {
    if (!claim.slot || !claim.advance(claim.word.with(Phase::done, claim.word.owner()))) return;
    // Nothing is owed any more. Whoever finds it like this, with us gone, does the rest.
    Slot &slot = *claim.slot;
    // By our pid it is seen that we are gone: that one stays.
    leave_group(slot);
    slot.tgid.store(0, std::memory_order_relaxed);
    slot.successor.store(0, std::memory_order_relaxed);
    slot.threads.store(0, std::memory_order_relaxed);
    slot.told_clone.store(0, std::memory_order_relaxed);
    slot.told_exit.store(0, std::memory_order_relaxed);
    slot.told_free.store(0, std::memory_order_relaxed);
    slot.begun.store(0, std::memory_order_relaxed);
    const SlotWord next = claim.word.next();
    if (!claim.advance(next)) return;
    if (next.phase() == Phase::vacant) slots_.release(claim.index);
    busy()->living.fetch_sub(1, std::memory_order_acq_rel);
}

bool Ledger::await_end(const Task &task, const Task &by) const {
    constexpr uint64_t bound_ns = 1000000000;
    uint64_t until = 0;
    for (Backoff backoff;; backoff.pause()) {
        SlotWord word(0);
        Task other;
        SlotWord others(0);
        if (!slot_of(task, word)) return false;  // through
        const uint32_t owner = word.owner();
        if (word.is_alive() || is_gone(owner, 0)) return true;
        // Another process is never waited for, and a handler that interrupted the delivery would wait for itself.
        if (owner == this->owner(by) || SlotWord::owns_no_slot(owner) ||
            !load(SlotWord::index_of(owner), other, others) || other.tgid != by.tgid)
            return false;
        const uint64_t now = boottime_ns();
        if (until == 0) until = now + bound_ns;
        if (now >= until) return false;
    }
}

// --- all of them

void Ledger::for_each(void (*visit)(void *, const Task &), void *context) const {
    SlotWord word(0);
    for (uint32_t i = 0, end = slots_.size(); i < end; i++) {
        Task task;
        if (load(i, task, word) && word.is_alive() && task.pid > 0) visit(context, task);
    }
}

void Ledger::for_each_in_group(const Task &leader, const Task &except, void (*visit)(void *, const Task &),
                               void *context) const {
    SlotWord word(0);
    Slot *main = slot_of(leader, word);
    if (main && main->threads.load(std::memory_order_acquire) == 0) return;
    for (uint32_t i = 0, end = slots_.size(); i < end; i++) {
        Task task;
        if (load(i, task, word) && task.tgid == leader.tgid && task.pid != 0 && task.id != except.id &&
            (task.id == leader.id || task.start_ns >= leader.start_ns))
            visit(context, task);
    }
}

// Whether nobody else is going to tell the end of this task.
bool Ledger::is_owed(const Task &task, SlotWord word) const {
    // Made but never settled, or its end is being told: it hangs on the one who does that.
    if (!word.is_alive() || word.phase() == Phase::entered) return is_gone(word.owner(), 0);
    if (task.pid <= 0) return false;
    if (is_dead(task.pid)) return true;
    ProcessStat stat;
    if (!read_process_stat(task.pid, stat)) return false;
    if (stat.is_younger(task.start_ns)) return true;  // its pid is another's
    // An orphan's corpse, where pid 1 is slow or reaps nobody. Another task's child is that one's to tell.
    Task parent;
    return stat.is_corpse() && !find(stat.parent, parent);
}

int Ledger::for_each_dead(void (*visit)(void *, const Task &), void *context) const {
    int found = 0;
    for (uint32_t i = 0, end = slots_.size(); i < end; i++) {
        Task task;
        SlotWord word(0);
        if (!load(i, task, word) || !is_owed(task, word)) continue;
        visit(context, task);
        found++;
    }
    return found;
}

uint32_t Ledger::living() const { return attached() ? busy()->living.load(std::memory_order_relaxed) : 0; }

bool Ledger::is_last(const Task &task) const {
    return attached() && task.slot != Task::no_slot && living() <= 1;
}

// Stops at the first that lives: as a rule there is one, and each end of a process would look at all of them otherwise.
bool Ledger::has_living_others(const Task &task) const {
    // Our own claim is seen by whoever claims its end after us.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (uint32_t i = 0, end = slots_.size(); i < end; i++) {
        Task other;
        SlotWord word(0);
        if (i + 1 == task.slot || !load(i, other, word) || !word.is_alive()) continue;
        if (word.phase() == Phase::entered ? !is_gone(word.owner(), 0) : other.pid > 0 && !runs_no_code(other.pid, other.start_ns))
            return true;
    }
    return false;
}

// The count can be too high for good: of a process that was killed between counting a task and entering it.
bool Ledger::has_others(const Task &task) const {
    for (uint32_t i = 0, end = slots_.size(); i < end; i++) {
        Slot *slot = i + 1 == task.slot ? nullptr : slots_.at(i);
        if (slot && SlotWord(slot->word.load(std::memory_order_acquire)).is_used()) return true;
    }
    return false;
}

void *Ledger::cell_of(uint64_t id, unsigned column) const {
    const auto index = (uint32_t)((id - 1) % capacity);
    Slot *slot = attached() ? slots_.at(index) : nullptr;
    if (!slot) return nullptr;
    const SlotWord word(slot->word.load(std::memory_order_acquire));
    if (!word.is_used() || word.id(index) != id) return nullptr;
    // Before it is given out: whoever enters the slot's next task has to see it.
    std::atomic<uint32_t> &has_cells = memory_.header()->has_cells;
    if (!(has_cells.load(std::memory_order_relaxed) & 1u << column)) has_cells.fetch_or(1u << column, std::memory_order_relaxed);
    return slots_.cell(index, column);
}

}  // namespace taskwatch
