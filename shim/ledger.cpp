// SPDX-License-Identifier: MIT
#include "ledger.hpp"

#include <taskwatch/taskwatch.h>

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <cstring>

#include "clock.hpp"
#include "sys.hpp"

namespace taskwatch {
namespace {

constexpr uint32_t layout_version = 1;
constexpr uint64_t magic = 0x31776b7361740a00;

// The first segment: a page of header, 128 slots, and for each of eight watchers a column of cells
// and a page of shared words. 64 KiB: a larger mapping costs every fork (F17 of the start-up report).
constexpr size_t first_bytes = 64 * 1024;
constexpr uint32_t first_slots = 128;
constexpr unsigned columns = TASKWATCH_CELL_WATCHERS;
constexpr size_t slots_offset = 4096;
constexpr size_t first_cells_offset = slots_offset + first_slots * 64;
constexpr size_t shared_offset = first_cells_offset + columns * first_slots * TASKWATCH_CELL_SIZE;
// Every further one: 2048 slots and their columns; untouched columns cost no memory.
constexpr uint32_t extension_slots = 2048;
constexpr size_t extension_bytes = extension_slots * (64 + columns * TASKWATCH_CELL_SIZE);
constexpr uint32_t capacity = 1u << 15;  // indices fit 16 bits of an id
constexpr unsigned hints = 1024;
constexpr unsigned name_bytes = 32;
constexpr uint64_t stale_after_s = 60;

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

struct alignas(64) Ledger::Slot {
    std::atomic<uint64_t> word;
    std::atomic<int32_t> pid, tgid, ppid;
    std::atomic<uint32_t> successor;  // slot (from 1) of the thread that is about to exec
    std::atomic<uint64_t> parent_id;
    std::atomic<uint64_t> start_ns;
    std::atomic<int32_t> creator;  // pid of the creating process, for a creation that was never settled
};

struct Ledger::Header {
    uint64_t magic;
    uint32_t version;
    uint32_t columns_used;
    uint64_t secret;
    uint64_t session;
    int32_t root;
    std::atomic<uint32_t> wanted;
    FileIdentity streams[3];
    std::atomic<uint32_t> slots;        // in all segments
    std::atomic<uint32_t> living_count;
    std::atomic<uint64_t> lost;
    std::atomic<int32_t> lost_error;
    std::atomic<uint64_t> torn_file;
    std::atomic<uint64_t> good_list;    // hash of a list of watchers, 0: none
    std::atomic<uint64_t> said[16];     // texts that were printed, by their hash; 0: free
    std::atomic<int32_t> extension_ids[max_extensions];
    std::atomic<uint32_t> growing;
    std::atomic<uint32_t> failed;       // by which watchers: a bit a column, the highest: one without a column
    std::atomic<uint32_t> lowest;       // no slot below it was free a moment ago: where the search starts
    struct Column {
        std::atomic<uint32_t> claimed;  // 0 free, 1 being named, 2 named
        std::atomic<uint32_t> once;
        char name[name_bytes];
    } column[columns];
    std::atomic<uint16_t> hint[hints];  // slot + 1 of a pid, by its low bits; checked, never trusted
};

constinit Ledger ledger;

namespace {

long shm_attach(int id) { return sys::call(SYS_shmat, id, 0, 0); }

bool shm_failed(long address) { return address < 0 && address > -4096; }

long shm_stat(int id, shmid_ds *ds) { return sys::call(SYS_shmctl, id, IPC_STAT, ds); }

uint64_t random_word() {
    uint64_t word = 0;
    // GRND_NONBLOCK: before the pool is ready, at boot, a weaker word beats a hanging program.
    if (sys::call(SYS_getrandom, &word, sizeof word, 1) != sizeof word || word == 0)
        word = boottime_ns() * 0x9e3779b97f4a7c15 ^ (uint64_t)(uintptr_t)&word ^ (uint64_t)sys::getpid() << 32;
    return word ? word : 1;
}

FileIdentity identity_of(int fd) {
    struct stat st;
    if (sys::call(SYS_fstat, fd, &st) != 0) return {};
    return {st.st_dev, st.st_ino, st.st_rdev};
}

bool is_abandoned(const shmid_ds &ds) {
    return ds.shm_nattch == 0 && ds.shm_perm.uid == (uid_t)sys::call(SYS_geteuid) &&
           (ds.shm_perm.mode & 0777) == 0600 &&
           ((uint64_t)ds.shm_dtime + stale_after_s) * 1000000000 < realtime_ns();
}

}  // namespace

// A session whose last process was killed leaves its segments behind: removed by the next founder of
// the same user, when nobody has been attached for a minute (an exec detaches for a moment).
void Ledger::remove_stale_sessions() {
    shm_info info;
    long highest = sys::call(SYS_shmctl, 0, SHM_INFO, &info);
    for (long i = 0; i <= highest && i < 4096; i++) {
        shmid_ds ds;
        long id = sys::call(SYS_shmctl, (int)i, SHM_STAT, &ds);
        if (id < 0 || ds.shm_segsz != first_bytes || !is_abandoned(ds)) continue;
        long address = shm_attach((int)id);
        if (shm_failed(address)) continue;
        auto *h = reinterpret_cast<Header *>(address);
        bool ours = h->magic == magic;
        for (uint32_t chunk = 0; ours && chunk < max_extensions; chunk++) {
            int extension = h->extension_ids[chunk].load(std::memory_order_relaxed) - 1;
            if (extension >= 0 && shm_stat(extension, &ds) == 0 && ds.shm_segsz == extension_bytes && is_abandoned(ds))
                sys::call(SYS_shmctl, extension, IPC_RMID, 0);
        }
        sys::call(SYS_shmdt, address);
        if (ours) sys::call(SYS_shmctl, (int)id, IPC_RMID, 0);
    }
}

int Ledger::found(pid_t root) {
    remove_stale_sessions();
    long id = sys::call(SYS_shmget, IPC_PRIVATE, first_bytes, 0600);
    if (id < 0) return (int)-id;
    long address = shm_attach((int)id);
    if (shm_failed(address)) {
        sys::call(SYS_shmctl, (int)id, IPC_RMID, 0);
        return (int)-address;
    }
    base_ = reinterpret_cast<char *>(address);
    segment_ = (int)id;
    secret_ = random_word();
    session_ = random_word();
    root_ = root;
    Header &h = *header();
    h.version = layout_version;
    h.secret = secret_;
    h.session = session_;
    h.root = root;
    for (int fd = 1; fd <= 2; fd++) h.streams[fd] = streams_[fd] = identity_of(fd);
    h.slots.store(first_slots, std::memory_order_relaxed);
    h.magic = magic;
    return 0;
}

void Ledger::record_own_streams(pid_t self) {
    if (attached()) return;
    root_ = self;
    for (int fd = 1; fd <= 2; fd++) streams_[fd] = identity_of(fd);
}

void Ledger::write_name(char (&ret_name)[64]) const {
    char *p = ret_name;
    char digits[12];
    int n = 0;
    unsigned id = (unsigned)segment_;
    do digits[n++] = char('0' + id % 10);
    while (id /= 10);
    while (n) *p++ = digits[--n];
    *p++ = ':';
    for (int shift = 60; shift >= 0; shift -= 4) *p++ = "0123456789abcdef"[secret_ >> shift & 15];
    *p = '\0';
}

int Ledger::attach(const char *name) {
    uint64_t id = 0, secret = 0;
    const char *p = name;
    for (; *p >= '0' && *p <= '9' && id < (1ull << 31); p++) id = id * 10 + (unsigned)(*p - '0');
    if (p == name || *p++ != ':' || id > INT32_MAX) return EINVAL;
    int digits = 0;
    for (; *p; p++, digits++) {
        int value = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (value < 0 || digits == 16) return EINVAL;
        secret = secret << 4 | (unsigned)value;
    }
    if (digits != 16) return EINVAL;
    shmid_ds ds;
    if (shm_stat((int)id, &ds) != 0 || ds.shm_segsz != first_bytes) return EIDRM;
    // Root must not be led by memory that somebody else can write.
    if (ds.shm_perm.uid != getauxval(AT_EUID) || (ds.shm_perm.mode & 077) != 0) return EPERM;
    long address = shm_attach((int)id);
    if (shm_failed(address)) return (int)-address;
    auto *h = reinterpret_cast<Header *>(address);
    int error = h->secret != secret ? EIDRM : h->magic != magic || h->version != layout_version ? EPROTO : 0;
    if (error) {
        sys::call(SYS_shmdt, address);
        return error;
    }
    base_ = reinterpret_cast<char *>(address);
    segment_ = (int)id;
    secret_ = secret;
    session_ = h->session;
    root_ = h->root;
    streams_[1] = h->streams[1];
    streams_[2] = h->streams[2];
    return 0;
}

// --- slots

char *Ledger::extension(uint32_t chunk) const {
    if (chunk >= max_extensions) return nullptr;
    if (char *known = extensions_[chunk].load(std::memory_order_acquire)) return known;
    if (quiet_) return nullptr;
    int id = header()->extension_ids[chunk].load(std::memory_order_acquire);
    shmid_ds ds;
    if (id == 0 || shm_stat(id - 1, &ds) != 0 || ds.shm_segsz != extension_bytes) return nullptr;
    long address = shm_attach(id - 1);
    if (shm_failed(address)) return nullptr;
    char *expected = nullptr, *mine = reinterpret_cast<char *>(address);
    if (extensions_[chunk].compare_exchange_strong(expected, mine)) return mine;
    sys::call(SYS_shmdt, address);
    return expected;
}

Ledger::Slot *Ledger::slot_at(uint32_t index) const {
    if (!base_ || index >= capacity) return nullptr;
    if (index < first_slots) return reinterpret_cast<Slot *>(base_ + slots_offset) + index;
    index -= first_slots;
    char *memory = extension(index / extension_slots);
    return memory ? reinterpret_cast<Slot *>(memory) + index % extension_slots : nullptr;
}

// Another segment of slots. Whoever wins the flag makes it; the others go on without a slot rather than wait.
bool Ledger::grow() {
    if (quiet_) return false;
    Header &h = *header();
    uint32_t idle = 0;
    if (!h.growing.compare_exchange_strong(idle, 1)) return false;
    bool grown = false;
    for (uint32_t chunk = 0; chunk < max_extensions && !grown; chunk++) {
        if (h.extension_ids[chunk].load(std::memory_order_relaxed) != 0) continue;
        if (first_slots + (chunk + 1) * extension_slots > capacity) break;
        long id = sys::call(SYS_shmget, IPC_PRIVATE, extension_bytes, 0600);
        if (id < 0) break;
        long address = shm_attach((int)id);
        if (shm_failed(address)) {
            sys::call(SYS_shmctl, (int)id, IPC_RMID, 0);
            break;
        }
        extensions_[chunk].store(reinterpret_cast<char *>(address), std::memory_order_release);
        h.extension_ids[chunk].store((int32_t)id + 1, std::memory_order_release);
        h.slots.store(first_slots + (chunk + 1) * extension_slots, std::memory_order_release);
        grown = true;
    }
    h.growing.store(0, std::memory_order_release);
    return grown;
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
        if (grow() && take_slot(known, slots(), task, parent)) return true;
    }
    // Alone: unique on this machine while its maker lives, which is what there is to say.
    task.id = uint64_t{quiet_ ? 0 : (uint32_t)sys::getpid()} << 32 | (__atomic_add_fetch(&own_ids_, 1, __ATOMIC_RELAXED) & UINT32_MAX);
    return false;
}

// The slot of `task` if it still is that task's.
static bool holds(uint64_t word, uint32_t index, uint64_t id) {
    return id_of(index, generation_of(word)) == id;
}

void Ledger::settle(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return;
    slot->tgid.store(task.tgid, std::memory_order_relaxed);
    slot->ppid.store(task.ppid, std::memory_order_relaxed);
    slot->start_ns.store(task.start_ns, std::memory_order_relaxed);
    slot->pid.store(task.pid, std::memory_order_release);
    uint64_t word = slot->word.load(std::memory_order_relaxed);
    if (holds(word, task.slot - 1, task.id) && phase_of(word) == Phase::entered)
        slot->word.compare_exchange_strong(word, word_of(generation_of(word), Phase::living), std::memory_order_acq_rel);
    header()->hint[(unsigned)task.pid % hints].store((uint16_t)task.slot, std::memory_order_release);
}

bool Ledger::claim_end(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return true;
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (!holds(word, task.slot - 1, task.id) || (phase_of(word) != Phase::living && phase_of(word) != Phase::entered)) return false;
    return slot->word.compare_exchange_strong(word, word_of(generation_of(word), Phase::ending), std::memory_order_acq_rel);
}

void Ledger::leave(const Task &task) {
    Slot *slot = slot_at(task.slot - 1);
    if (!slot) return;
    uint64_t word = slot->word.load(std::memory_order_acquire);
    if (!holds(word, task.slot - 1, task.id) || phase_of(word) == Phase::vacant) return;
    for (unsigned column = 0; column < columns; column++)
        if (header()->column[column].claimed.load(std::memory_order_acquire) == 2)
            memset(cell(task.slot - 1, header()->column[column].name), 0, TASKWATCH_CELL_SIZE);
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
    if (slot && holds(slot->word.load(std::memory_order_acquire), leader.slot - 1, leader.id))
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

void Ledger::close_session() {
    if (!attached()) return;
    for (uint32_t chunk = 0; chunk < max_extensions; chunk++) {
        int id = header()->extension_ids[chunk].load(std::memory_order_relaxed);
        shmid_ds ds;
        // The number comes from memory that others can write: it must not cost somebody else's segment.
        if (id <= 0 || shm_stat(id - 1, &ds) != 0 || ds.shm_segsz != extension_bytes ||
            ds.shm_perm.cuid != (uid_t)sys::call(SYS_geteuid))
            continue;
        sys::call(SYS_shmctl, id - 1, IPC_RMID, 0);
    }
    sys::call(SYS_shmctl, segment_, IPC_RMID, 0);
}

static uint64_t hash_of(const char *text) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    while (*text) hash = (hash ^ (uint8_t)*text++) * 0x100000001b3;
    return hash;
}

// --- columns: what a watcher keeps in the session

int Ledger::column_of(const char *watcher) const {
    if (!attached() || !watcher) return -1;
    unsigned races = 0;
    for (unsigned i = 0; i < columns; i++) {
        Header::Column &c = header()->column[i];
        uint32_t claimed = c.claimed.load(std::memory_order_acquire);
        // Another process is writing the name: a few instructions, unless it was killed there.
        for (int spin = 0; claimed == 1 && spin < 1000; spin++) {
            sys::call(SYS_sched_yield);
            claimed = c.claimed.load(std::memory_order_acquire);
        }
        if (uint32_t free = 0; claimed == 0 && c.claimed.compare_exchange_strong(free, 1, std::memory_order_acq_rel)) {
            strncpy(c.name, watcher, name_bytes - 1);
            c.claimed.store(2, std::memory_order_release);
            return (int)i;
        }
        if (claimed == 2 && strncmp(c.name, watcher, name_bytes - 1) == 0) return (int)i;
        // Lost the race for this column: look at what the winner called it.
        if (claimed != 2 && races++ < 4) i--;
    }
    return -1;
}

void *Ledger::cell(uint32_t index, const char *watcher) {
    int column = column_of(watcher);
    if (column < 0 || !slot_at(index)) return nullptr;
    if (index < first_slots)
        return base_ + first_cells_offset + ((size_t)column * first_slots + index) * TASKWATCH_CELL_SIZE;
    index -= first_slots;
    char *memory = extension(index / extension_slots);
    return memory + extension_slots * 64 +
           ((size_t)column * extension_slots + index % extension_slots) * TASKWATCH_CELL_SIZE;
}

void *Ledger::cell_of(uint64_t id, const char *watcher) {
    uint32_t index = (uint32_t)((id - 1) % capacity);
    Slot *slot = attached() ? slot_at(index) : nullptr;
    if (!slot || !holds(slot->word.load(std::memory_order_acquire), index, id)) return nullptr;
    return cell(index, watcher);
}

void *Ledger::shared(const char *watcher, size_t bytes) {
    static_assert(shared_offset + columns * TASKWATCH_SHARED_MAX <= first_bytes);
    static_assert(sizeof(Header) <= slots_offset && sizeof(Slot) == 64);
    if (bytes > TASKWATCH_SHARED_MAX) return nullptr;
    int column = column_of(watcher);
    return column < 0 ? nullptr : base_ + shared_offset + (size_t)column * TASKWATCH_SHARED_MAX;
}

bool Ledger::once(const char *watcher, unsigned key) {
    int column = column_of(watcher);
    std::atomic<uint32_t> &bits =
        column >= 0 ? header()->column[column].once : own_once_[watcher ? hash_of(watcher) % 16 : 0];
    uint32_t bit = 1u << (key % 32);
    return !(bits.fetch_or(bit, std::memory_order_acq_rel) & bit);
}

uint64_t Ledger::torn_file() const {
    return attached() ? header()->torn_file.load(std::memory_order_relaxed) : 0;
}

void Ledger::set_torn_file(uint64_t file) {
    if (attached()) header()->torn_file.store(file, std::memory_order_relaxed);
}

static uint64_t hash_of_list(const char *watchers, const char *folders) {
    return (hash_of(watchers) * 31 + (folders ? hash_of(folders) : 0)) | 1;
}

bool Ledger::list_is_good(const char *watchers, const char *folders) const {
    return attached() && header()->good_list.load(std::memory_order_relaxed) == hash_of_list(watchers, folders);
}

void Ledger::set_good_list(const char *watchers, const char *folders) {
    if (attached()) header()->good_list.store(hash_of_list(watchers, folders), std::memory_order_relaxed);
}

bool Ledger::once_said(const char *text) {
    if (!attached()) return true;
    uint64_t hash = hash_of(text) | 1;
    for (std::atomic<uint64_t> &place : header()->said) {
        uint64_t seen = 0;
        if (place.compare_exchange_strong(seen, hash, std::memory_order_relaxed)) return true;
        if (seen == hash) return false;
    }
    return true;
}

bool Ledger::fail(const char *watcher) {
    if (!attached()) return false;
    int column = column_of(watcher);
    header()->failed.fetch_or(1u << (column >= 0 ? column : 31), std::memory_order_acq_rel);
    return true;
}

bool Ledger::failed() const {
    return attached() && header()->failed.load(std::memory_order_acquire) != 0;
}

bool Ledger::failed_by(unsigned n, char (&ret_name)[32]) const {
    static_assert(sizeof ret_name == name_bytes);
    if (!attached()) return false;
    uint32_t failed = header()->failed.load(std::memory_order_acquire);
    for (unsigned i = 0; i < columns; i++) {
        if (!(failed & 1u << i) || n--) continue;
        memcpy(ret_name, header()->column[i].name, name_bytes);
        ret_name[name_bytes - 1] = '\0';
        for (char *c = ret_name; *c; c++)
            if (*c <= ' ' || *c > '~') *c = '?';
        return true;
    }
    return false;
}

void Ledger::count_lost(int error) {
    (attached() ? header()->lost : own_lost_).fetch_add(1, std::memory_order_relaxed);
    if (attached())
        header()->lost_error.store(error, std::memory_order_relaxed);
    else
        own_lost_error_.store(error, std::memory_order_relaxed);
}

uint64_t Ledger::lost(int *ret_error) const {
    if (ret_error) *ret_error = attached() ? header()->lost_error.load() : own_lost_error_.load();
    return attached() ? header()->lost.load() : own_lost_.load();
}

void Ledger::want(uint32_t mask) {
    if (attached()) header()->wanted.fetch_or(mask, std::memory_order_relaxed);
}

uint32_t Ledger::wanted() const {
    return attached() ? header()->wanted.load(std::memory_order_relaxed) : 0;
}

}  // namespace taskwatch
