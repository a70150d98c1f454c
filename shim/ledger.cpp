// SPDX-License-Identifier: MIT
#include "ledger.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>

#include "session.hpp"
#include "sys.hpp"

namespace taskwatch {

using namespace layout;

constinit Ledger ledger(session.memory);

namespace {

// The truth about a slot is one word, so that every step is one compare-and-swap and the id is a
// function of the word that won (F18): generation 32 | phase 8 | unused 24.
enum class Phase : uint8_t { vacant = 0, entered = 1, living = 2, ending = 3 };

constexpr uint64_t word_of(uint32_t generation, Phase phase) { return uint64_t{generation} << 32 | (uint64_t)phase; }
constexpr uint32_t generation_of(uint64_t word) { return (uint32_t)(word >> 32); }
constexpr Phase phase_of(uint64_t word) { return (Phase)(word & 3); }
constexpr uint64_t id_of(uint32_t index, uint32_t generation) {
    return uint64_t{generation} * capacity + index + 1;
}

}  // namespace

void *cell_at(const Segment &memory, uint32_t index, unsigned column) {
    if (index < first_slots)
        return memory.base() + first_cells_offset + ((size_t)column * first_slots + index) * TASKWATCH_CELL_SIZE;
    index -= first_slots;
    char *extension = memory.extension(index / extension_slots);
    if (!extension) return nullptr;
    return extension + extension_slots * sizeof(Slot) +
           ((size_t)column * extension_slots + index % extension_slots) * TASKWATCH_CELL_SIZE;
}

Slot *Ledger::slot_at(uint32_t index) const {
    if (!attached() || index >= capacity) return nullptr;
    if (index < first_slots) return reinterpret_cast<Slot *>(memory_.base() + slots_offset) + index;
    index -= first_slots;
    char *memory = memory_.extension(index / extension_slots);
    return memory ? reinterpret_cast<Slot *>(memory) + index % extension_slots : nullptr;
}

bool Ledger::take_slot(uint32_t from, uint32_t until, Task &task, const Task *parent) {
    for (uint32_t i = from; i < until; i++) {
        Slot *slot = slot_at(i);
        if (!slot) return false;
        uint64_t word = slot->word.load(std::memory_order_relaxed);
        if (phase_of(word) != Phase::vacant) continue;
        uint64_t mine = word_of(generation_of(word), Phase::entered);
        if (!slot->word.compare_exchange_strong(word, mine, std::memory_order_acq_rel)) continue;
        slot->pid.store(0, std::memory_order_relaxed);
        slot->tgid.store(0, std::memory_order_relaxed);
        slot->successor.store(0, std::memory_order_relaxed);
        slot->creator.store(parent ? parent->tgid : 0, std::memory_order_relaxed);
        slot->parent_id.store(task.parent_id, std::memory_order_relaxed);
        header()->living_count.fetch_add(1, std::memory_order_relaxed);
        header()->lowest.store(i + 1, std::memory_order_relaxed);
        task.slot = i + 1;
        task.id = id_of(i, generation_of(word));
        return true;
    }
    return false;
}

bool Ledger::enter(Task &task, const Task *parent) {
    task.slot = Task::no_slot;
    task.parent_id = parent ? parent->id : 0;
    if (attached()) {
        auto slots = [&] {
            uint32_t n = header()->slots.load(std::memory_order_acquire);
            return n < capacity ? n : capacity;
        };
        // From where one was free last, then those before it, then new ones.
        uint32_t known = slots(), lowest = header()->lowest.load(std::memory_order_relaxed);
        if (lowest > known) lowest = known;
        if (take_slot(lowest, known, task, parent) || take_slot(0, lowest, task, parent)) return true;
        if (memory_.grow() && take_slot(known, slots(), task, parent)) return true;
    }
    // Alone: unique on this machine while its maker lives, which is what there is to say.
    task.id = uint64_t{memory_.is_quiet() ? 0 : (uint32_t)sys::getpid()} << 32 | (__atomic_add_fetch(&own_ids_, 1, __ATOMIC_RELAXED) & UINT32_MAX);
    return false;
}

// The slot of `task` if it still is that task's.
static bool is_of(uint64_t word, uint32_t index, uint64_t id) {
    return id_of(index, generation_of(word)) == id;
}

bool Ledger::holds(uint64_t id, uint32_t &ret_index) const {
    ret_index = (uint32_t)((id - 1) % capacity);
    Slot *slot = slot_at(ret_index);
    return slot && is_of(slot->word.load(std::memory_order_acquire), ret_index, id);
}

void Ledger::settle(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return;
    // A child that nobody holds may have settled itself, and be gone already: the slot is another's then.
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (!is_of(word, task.slot - 1, task.id) || phase_of(word) == Phase::vacant || phase_of(word) == Phase::ending) return;
    slot->tgid.store(task.tgid, std::memory_order_relaxed);
    slot->ppid.store(task.ppid, std::memory_order_relaxed);
    slot->start_ns.store(task.start_ns, std::memory_order_relaxed);
    slot->pid.store(task.pid, std::memory_order_release);
    if (phase_of(word) == Phase::entered)
        slot->word.compare_exchange_strong(word, word_of(generation_of(word), Phase::living), std::memory_order_acq_rel);
    header()->hint[(unsigned)task.pid % hints].store((uint16_t)task.slot, std::memory_order_release);
}

bool Ledger::claim_end(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return true;
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (!is_of(word, task.slot - 1, task.id) || (phase_of(word) != Phase::living && phase_of(word) != Phase::entered)) return false;
    return slot->word.compare_exchange_strong(word, word_of(generation_of(word), Phase::ending), std::memory_order_acq_rel);
}

void Ledger::leave(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return;
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (!is_of(word, task.slot - 1, task.id) || phase_of(word) == Phase::vacant) return;
    for (unsigned column = 0; column < columns; column++)
        if (header()->column[column].claimed.load(std::memory_order_acquire) == 2)
            if (void *cell = cell_at(memory_, task.slot - 1, column)) memset(cell, 0, TASKWATCH_CELL_SIZE);
    slot->pid.store(0, std::memory_order_relaxed);
    if (slot->word.compare_exchange_strong(word, word_of(generation_of(word) + 1, Phase::vacant), std::memory_order_acq_rel))
        header()->living_count.fetch_sub(1, std::memory_order_acq_rel);
    uint32_t lowest = header()->lowest.load(std::memory_order_relaxed);
    if (task.slot - 1 < lowest) header()->lowest.store(task.slot - 1, std::memory_order_relaxed);
}

bool Ledger::load(uint32_t index, Task &ret_task) const {
    Slot *slot = slot_at(index);
    if (!slot) return false;
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (phase_of(word) != Phase::living && phase_of(word) != Phase::entered) return false;
    ret_task.pid = slot->pid.load(std::memory_order_acquire);
    ret_task.tgid = slot->tgid.load(std::memory_order_relaxed);
    ret_task.ppid = slot->ppid.load(std::memory_order_relaxed);
    ret_task.parent_id = slot->parent_id.load(std::memory_order_relaxed);
    ret_task.start_ns = slot->start_ns.load(std::memory_order_relaxed);
    ret_task.slot = index + 1;
    ret_task.id = id_of(index, generation_of(word));
    ret_task.adopted = false;
    return true;
}

bool Ledger::find(pid_t pid, Task &ret_task) const {
    if (!attached() || pid <= 0) return false;
    auto take = [&](uint32_t index) { return load(index, ret_task) && ret_task.pid == pid; };
    uint16_t hint = header()->hint[(unsigned)pid % hints].load(std::memory_order_acquire);
    if (hint && take(hint - 1u)) return true;
    uint32_t slots = header()->slots.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < slots && i < capacity; i++)
        if (take(i)) return true;
    return false;
}

// The parent of a process that is dead and not waited for, from /proc/PID/stat: "12 (name) Z 1 ..."; 0: it is not.
static pid_t parent_of_corpse(pid_t pid) {
    char path[32] = "/proc/", text[128];
    char *p = path + 6, digits[12];
    int n = 0;
    for (unsigned rest = (unsigned)pid; rest; rest /= 10) digits[n++] = char('0' + rest % 10);
    while (n) *p++ = digits[--n];
    memcpy(p, "/stat", 6);
    long fd = sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    long length = sys::call(SYS_read, fd, text, sizeof text - 1);
    sys::call(SYS_close, fd);
    text[length > 0 ? length : 0] = '\0';
    const char *state = strrchr(text, ')');
    if (!state || state[1] != ' ' || state[2] != 'Z' || state[3] != ' ') return 0;
    pid_t parent = 0;
    for (state += 4; *state >= '0' && *state <= '9'; state++) parent = parent * 10 + (*state - '0');
    return parent;
}

// Gone, or dead and waiting for its parent, which we are.
static bool is_dead(pid_t pid) {
    if (sys::call(SYS_kill, pid, 0) == -ESRCH) return true;
    siginfo_t info = {};
    return sys::call(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0) == 0 &&
           info.si_pid == pid;
}

void Ledger::for_each_in_group(pid_t tgid, const Task &except, void (*visit)(void *, const Task &), void *context) const {
    if (!attached()) return;
    uint32_t slots = header()->slots.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < slots && i < capacity; i++) {
        Task task;
        if (load(i, task) && task.tgid == tgid && task.pid != 0 && task.id != except.id) visit(context, task);
    }
}

void Ledger::mark_successor(const Task &leader, const Task &task, bool about_to) {
    uint32_t mark = about_to ? task.slot : 0;
    Slot *own = slot_at(task.slot - 1), *slot = slot_at(leader.slot - 1);
    // At its own place too: a leader that left by pthread_exit has none any more.
    if (own) own->successor.store(mark, std::memory_order_release);
    if (slot && is_of(slot->word.load(std::memory_order_acquire), leader.slot - 1, leader.id))
        slot->successor.store(mark, std::memory_order_release);
}

// The thread of process `pid` that was about to exec when its leader was gone already.
bool Ledger::find_heir(pid_t pid, Task &ret_task) const {
    uint32_t slots = attached() ? header()->slots.load(std::memory_order_acquire) : 0;
    for (uint32_t i = 0; i < slots && i < capacity; i++)
        if (load(i, ret_task) && ret_task.tgid == pid && slot_at(i)->successor.load(std::memory_order_acquire) == i + 1)
            return true;
    return false;
}

bool Ledger::find_after_exec(pid_t pid, Task &ret_task) {
    Task task;
    if (find(pid, ret_task)) {
        uint32_t successor = slot_at(ret_task.slot - 1)->successor.exchange(0, std::memory_order_acq_rel);
        if (successor == 0 || !load(successor - 1, task) || task.tgid != pid) return true;
    } else if (!find_heir(pid, task)) {
        return false;
    }
    slot_at(task.slot - 1)->successor.store(0, std::memory_order_relaxed);
    slot_at(task.slot - 1)->pid.store(pid, std::memory_order_release);
    task.pid = pid;
    header()->hint[(unsigned)pid % hints].store((uint16_t)task.slot, std::memory_order_release);
    ret_task = task;
    return true;
}

int Ledger::for_each_dead(void (*visit)(void *, const Task &), void *context) const {
    if (!attached()) return 0;
    int found = 0;
    uint32_t slots = header()->slots.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < slots && i < capacity; i++) {
        Task task;
        if (!load(i, task)) continue;
        // Made but never settled: it hangs on its creator (which was killed between INIT and the real call).
        pid_t pid = task.pid ? task.pid : slot_at(i)->creator.load(std::memory_order_relaxed);
        if (pid <= 0) continue;
        if (!is_dead(pid)) {
            // An orphan's corpse, where pid 1 is slow or reaps nobody. Another task's child is that one's to tell.
            Task other;
            pid_t parent = parent_of_corpse(pid);
            if (parent == 0 || find(parent, other)) continue;
        }
        visit(context, task);
        found++;
    }
    return found;
}

uint32_t Ledger::living() const {
    return attached() ? header()->living_count.load(std::memory_order_relaxed) : 0;
}

bool Ledger::is_last(const Task &task) const {
    return attached() && task.slot != Task::no_slot && living() <= 1;
}

}  // namespace taskwatch
