// SPDX-License-Identifier: MIT
#include "segment.hpp"

#include <sys/auxv.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include <cerrno>

#include "backoff.hpp"
#include "clock.hpp"
#include "death.hpp"
#include "slot_word.hpp"
#include "sys.hpp"

namespace taskwatch {

using namespace layout;

namespace {

constexpr uint64_t stale_after_s = 60;

long shm_attach(int id) { return sys::call(SYS_shmat, id, 0, 0); }

bool shm_failed(long address) { return address < 0 && address > -4096; }

long shm_stat(int id, shmid_ds *ds) { return sys::call(SYS_shmctl, id, IPC_STAT, ds); }

// Another segment of a session: what a number in memory that others can write says is not believed. Null: it is not
// one of that session's, or cannot be had.
Extension *attach_extension(int id, uint64_t secret) {
    shmid_ds ds;
    if (id < 0 || shm_stat(id, &ds) != 0 || ds.shm_segsz != extension_size) return nullptr;
    long address = shm_attach(id);
    if (shm_failed(address)) return nullptr;
    auto *more = reinterpret_cast<Extension *>(address);
    if (more->magic == extension_magic && more->secret == secret) return more;
    sys::call(SYS_shmdt, address);
    return nullptr;
}

// Lets `user` in beside the one who made it.
bool set_user(int id, uid_t user) {
    shmid_ds ds;
    if (shm_stat(id, &ds) != 0) return false;
    ds.shm_perm.uid = user;
    return sys::call(SYS_shmctl, id, IPC_SET, &ds) == 0;
}

// --- what was left behind

// Its maker writes the magic last, and is no more. Pids mean nothing where its maker has none.
bool is_unfinished(const shmid_ds &ds, uint64_t magic) {
    return magic == 0 && ds.shm_perm.__key == IPC_PRIVATE && ds.shm_cpid != 0 && runs_no_code(ds.shm_cpid);
}

// Nobody has it mapped, and it is this user's. An exec detaches for a moment.
bool is_deserted(const shmid_ds &ds) {
    const auto user = (uid_t)sys::call(sys::nr_geteuid);
    return ds.shm_nattch == 0 && (ds.shm_perm.uid == user || ds.shm_perm.cuid == user) && (ds.shm_perm.mode & 0777) == 0600;
}

bool is_old(const shmid_ds &ds) { return ((uint64_t)ds.shm_dtime + stale_after_s) * 1000000000 < realtime_ns(); }

bool anybody_lives(const Slot *slots, uint32_t count) {
    for (uint32_t n = 0; n < count; n++) {
        const SlotWord word(slots[n].word.load(std::memory_order_relaxed));
        if (!word.is_used()) continue;
        const pid_t pid = slots[n].pid.load(std::memory_order_relaxed);
        const uint64_t start_ns = slots[n].start_ns.load(std::memory_order_relaxed);
        if (pid > 0 && !runs_no_code(pid, start_ns)) return true;
        if (SlotWord::owns_no_slot(word.owner()) && !runs_no_code(SlotWord::tid_of(word.owner()))) return true;
    }
    return false;
}

// All of the session's tasks are dead: nobody is in the middle of an exec. Pids mean nothing where its maker has none.
bool is_extinct(const char *base, const shmid_ds &ds) {
    const auto *h = reinterpret_cast<const Header *>(base);
    if (ds.shm_cpid == 0 || anybody_lives(reinterpret_cast<const Slot *>(base + slots_offset), first_slots)) return false;
    for (const std::atomic<int32_t> &id : h->extension_ids) {
        Extension *more = attach_extension(id.load(std::memory_order_relaxed) - 1, h->secret);
        if (!more) continue;
        const bool lives =
            anybody_lives(reinterpret_cast<const Slot *>((const char *)more + extension_slots_offset), extension_slots);
        sys::call(SYS_shmdt, more);
        if (lives) return false;
    }
    return true;
}

void remove_extensions(const Header &h) {
    for (const std::atomic<int32_t> &number : h.extension_ids) {
        const int id = number.load(std::memory_order_relaxed) - 1;
        if (Extension *more = attach_extension(id, h.secret)) {
            sys::call(SYS_shmctl, id, IPC_RMID, 0);
            sys::call(SYS_shmdt, more);
        }
    }
}

void remove_if_stale(int id, const shmid_ds &ds) {
    long address = shm_attach(id);
    if (shm_failed(address)) return;
    auto *base = reinterpret_cast<char *>(address);
    auto *h = reinterpret_cast<Header *>(address);
    if (is_unfinished(ds, h->magic) || (h->magic == magic && (is_old(ds) || (h->version == version && is_extinct(base, ds))))) {
        remove_extensions(*h);
        sys::call(SYS_shmctl, id, IPC_RMID, 0);
    }
    sys::call(SYS_shmdt, address);
}

// Whether the session of this extension is there and knows it.
bool is_listed(int id, const Extension &more) {
    shmid_ds ds;
    if (shm_stat(more.first_id, &ds) != 0 || ds.shm_segsz != first_size) return false;
    long address = shm_attach(more.first_id);
    if (shm_failed(address)) return false;
    auto *h = reinterpret_cast<Header *>(address);
    bool listed = false;
    for (const std::atomic<int32_t> &number : h->extension_ids)
        listed |= h->secret == more.secret && number.load(std::memory_order_relaxed) == id + 1;
    sys::call(SYS_shmdt, address);
    return listed;
}

// One whose session is gone, or whose maker was killed before the session knew of it.
void remove_if_unlisted(int id, const shmid_ds &ds) {
    if (ds.shm_cpid == 0 || !runs_no_code(ds.shm_cpid)) return;
    long address = shm_attach(id);
    if (shm_failed(address)) return;
    auto *more = reinterpret_cast<Extension *>(address);
    if (is_unfinished(ds, more->magic) || (more->magic == extension_magic && !is_listed(id, *more))) sys::call(SYS_shmctl, id, IPC_RMID, 0);
    sys::call(SYS_shmdt, address);
}

// A session whose last process was killed leaves its segments behind: removed by the next founder of the same
// user, at once if all its tasks are dead, otherwise when nobody has been attached for a minute.
void remove_stale_sessions() {
    shm_info info;
    long highest = sys::call(SYS_shmctl, 0, SHM_INFO, &info);
    for (long i = 0; i <= highest && i < 4096; i++) {
        shmid_ds ds;
        long id = sys::call(SYS_shmctl, (int)i, SHM_STAT, &ds);
        if (id < 0 || !is_deserted(ds)) continue;
        if (ds.shm_segsz == first_size) remove_if_stale((int)id, ds);
        if (ds.shm_segsz == extension_size) remove_if_unlisted((int)id, ds);
    }
}

// "id:secret". False: not a name.
bool read_name(const char *name, int &ret_id, uint64_t &ret_secret) {
    uint64_t id = 0, secret = 0;
    const char *p = name;
    for (; *p >= '0' && *p <= '9' && id < (1ull << 31); p++) id = id * 10 + (unsigned)(*p - '0');
    if (p == name || *p++ != ':' || id > INT32_MAX) return false;
    int digits = 0;
    for (; *p; p++, digits++) {
        int value = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (value < 0 || digits == 16) return false;
        secret = secret << 4 | (unsigned)value;
    }
    ret_id = (int)id;
    ret_secret = secret;
    return digits == 16;
}

}  // namespace

uint64_t random_word() {
    uint64_t word = 0;
    // GRND_NONBLOCK: before the pool is ready, at boot, a weaker word beats a hanging program.
    if (sys::call(SYS_getrandom, &word, sizeof word, 1) != sizeof word || word == 0)
        word = boottime_ns() * 0x9e3779b97f4a7c15 ^ (uint64_t)(uintptr_t)&word ^ (uint64_t)sys::getpid() << 32;
    return word ? word : 1;
}

int Segment::make() {
    remove_stale_sessions();
    long id = sys::call(SYS_shmget, IPC_PRIVATE, first_size, 0600);
    if (id < 0) return (int)-id;
    long address = shm_attach((int)id);
    if (shm_failed(address)) {
        sys::call(SYS_shmctl, (int)id, IPC_RMID, 0);
        return (int)-address;
    }
    base_ = reinterpret_cast<char *>(address);
    id_ = (int)id;
    secret_ = random_word();
    header()->version = version;
    header()->secret = secret_;
    header()->slots.store(first_slots, std::memory_order_relaxed);
    auto *busy = reinterpret_cast<Busy *>(base_ + busy_offset);
    for (uint32_t slot = 0; slot < first_slots; slot++)
        busy->first.free[slot / 64].fetch_or(1ull << slot % 64, std::memory_order_relaxed);
    return 0;
}

bool Segment::is_of_our_pids() const {
    shmid_ds ds;
    // The kernel translates it for who asks, also when that process has ended.
    return quiet_ || !attached() || shm_stat(id_, &ds) != 0 || ds.shm_cpid != 0;
}

void Segment::publish() { header()->magic = magic; }

void Segment::write_name(char (&ret_name)[64]) const {
    char *p = ret_name;
    char digits[12];
    int n = 0;
    unsigned id = (unsigned)id_;
    do digits[n++] = char('0' + id % 10);
    while (id /= 10);
    while (n) *p++ = digits[--n];
    *p++ = ':';
    for (int shift = 60; shift >= 0; shift -= 4) *p++ = "0123456789abcdef"[secret_ >> shift & 15];
    *p = '\0';
}

int Segment::attach(const char *name) {
    int id;
    uint64_t secret;
    if (!read_name(name, id, secret)) return EINVAL;
    shmid_ds ds;
    if (shm_stat(id, &ds) != 0 || ds.shm_segsz != first_size) return EIDRM;
    // The maker's, or the one's whom it was given to. Root is not led by memory that somebody else has made.
    const auto user = (uid_t)getauxval(AT_EUID);
    const bool made = ds.shm_perm.cuid == user, given = ds.shm_perm.uid == user && user != 0;
    if ((!made && !given) || (ds.shm_perm.mode & 077) != 0) return EPERM;
    long address = shm_attach(id);
    if (shm_failed(address)) return (int)-address;
    auto *h = reinterpret_cast<Header *>(address);
    int error = h->secret != secret ? EIDRM : h->magic != magic || h->version != version ? EPROTO : 0;
    if (error) {
        sys::call(SYS_shmdt, address);
        return error;
    }
    base_ = reinterpret_cast<char *>(address);
    id_ = id;
    secret_ = secret;
    given_away_ = made && ds.shm_perm.uid != user;
    return 0;
}

bool Segment::give_to(uid_t user) {
    shmid_ds ds;
    if (!attached() || quiet_ || user == 0 || shm_stat(id_, &ds) != 0) return false;
    if (ds.shm_perm.cuid == user || ds.shm_perm.uid != ds.shm_perm.cuid || !set_user(id_, user)) return false;
    for (uint32_t chunk = 0; chunk < max_extensions; chunk++)
        if (extension(chunk)) set_user(header()->extension_ids[chunk].load(std::memory_order_relaxed) - 1, user);
    return true;
}

void Segment::take_back() {
    shmid_ds ds;
    if (shm_stat(id_, &ds) != 0) return;
    set_user(id_, ds.shm_perm.cuid);
    for (uint32_t chunk = 0; chunk < max_extensions; chunk++)
        if (extension(chunk))
            set_user(header()->extension_ids[chunk].load(std::memory_order_relaxed) - 1, ds.shm_perm.cuid);
}

char *Segment::extension(uint32_t chunk) const {
    if (chunk >= max_extensions) return nullptr;
    if (char *known = extensions_[chunk].load(std::memory_order_acquire)) return known;
    if (quiet_) return nullptr;
    int id = header()->extension_ids[chunk].load(std::memory_order_acquire);
    char *expected = nullptr, *mine = reinterpret_cast<char *>(id ? attach_extension(id - 1, secret_) : nullptr);
    if (!mine || extensions_[chunk].compare_exchange_strong(expected, mine)) return mine;
    sys::call(SYS_shmdt, mine);
    return expected;
}

// The memory of a new extension, in which every slot is free.
Extension *Segment::make_extension(int &ret_id) const {
    long id = sys::call(SYS_shmget, IPC_PRIVATE, extension_size, 0600);
    if (id < 0) return nullptr;
    long address = shm_attach((int)id);
    if (shm_failed(address)) {
        sys::call(SYS_shmctl, (int)id, IPC_RMID, 0);
        return nullptr;
    }
    // Both users of the session, whichever of them makes it.
    shmid_ds first, mine;
    if (shm_stat(id_, &first) == 0 && shm_stat((int)id, &mine) == 0 && first.shm_perm.uid != first.shm_perm.cuid)
        set_user((int)id, first.shm_perm.uid == mine.shm_perm.cuid ? first.shm_perm.cuid : first.shm_perm.uid);
    auto *more = reinterpret_cast<Extension *>(address);
    more->secret = secret_;
    more->first_id = id_;
    for (std::atomic<uint64_t> &word : more->map.free) word.store(UINT64_MAX, std::memory_order_relaxed);
    more->magic = extension_magic;
    ret_id = (int)id;
    return more;
}

// Another process makes one: a task that finds no place meanwhile would be told of by nobody if it were killed. Microseconds, as a
// rule; the bound is for a maker that is stopped. True: it has come to its end.
bool Segment::await_growth() const {
    constexpr uint64_t bound_ns = 50000000;
    const uint64_t until = boottime_ns() + bound_ns;
    for (Backoff backoff; header()->growing.load(std::memory_order_acquire) != 0; backoff.pause())
        if (boottime_ns() >= until) return false;
    return true;
}

bool Segment::grow() {
    if (quiet_) return false;
    Header &h = *header();
    int32_t maker = 0;
    if (!h.growing.compare_exchange_strong(maker, sys::getpid())) {
        // One that was killed at it must not keep the session small for good.
        if (!runs_no_code(maker)) return await_growth();
        if (!h.growing.compare_exchange_strong(maker, sys::getpid())) return false;
    }
    bool grown = false;
    for (uint32_t chunk = 0; chunk < max_extensions && !grown; chunk++) {
        if (h.extension_ids[chunk].load(std::memory_order_relaxed) != 0) continue;
        int id;
        Extension *more = make_extension(id);
        if (!more) break;
        extensions_[chunk].store(reinterpret_cast<char *>(more), std::memory_order_release);
        h.extension_ids[chunk].store(id + 1, std::memory_order_release);
        h.slots.store(first_slots + (chunk + 1) * extension_slots, std::memory_order_release);
        reinterpret_cast<Busy *>(base_ + busy_offset)->extensions.fetch_or(1u << chunk, std::memory_order_acq_rel);
        grown = true;
    }
    h.growing.store(0, std::memory_order_release);
    return grown;
}

void Segment::remove() {
    if (!attached()) return;
    remove_extensions(*header());
    sys::call(SYS_shmctl, id_, IPC_RMID, 0);
}

}  // namespace taskwatch
