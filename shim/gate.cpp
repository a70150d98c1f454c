// SPDX-License-Identifier: MIT
#include "gate.hpp"

#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#include <cstring>

#include "start_data.hpp"
#include "sys.hpp"

namespace taskwatch {
namespace {

constexpr unsigned state_bits = 3;
constexpr uint32_t word_of(uint32_t ticket, Gate::State state) { return ticket << state_bits | state; }

constexpr unsigned gates_per_page = 4096 / sizeof(Gate);
START_BSS constinit std::atomic<Gate *> page{nullptr};
START_BSS constinit Gate *inherited_page = nullptr;  // the creator's, of no use once its child was released

Gate *own_page() {
    if (Gate *known = page.load(std::memory_order_acquire)) return known;
    if (Gate *old = inherited_page) {
        inherited_page = nullptr;
        sys::call(SYS_munmap, old, 4096);
    }
    long address = sys::call(sys::nr_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address > -4096) return nullptr;
    auto *mine = reinterpret_cast<Gate *>(address);
    Gate *expected = nullptr;
    if (page.compare_exchange_strong(expected, mine)) return mine;
    sys::call(SYS_munmap, address, 4096);
    return expected;
}

long futex_wait(std::atomic<uint32_t> &word, uint32_t value, long milliseconds) {
    timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    return sys::call(SYS_futex, &word, FUTEX_WAIT, value, &timeout, 0, 0);
}

void futex_wake(std::atomic<uint32_t> &word) { sys::call(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, 0, 0, 0); }

// Whether the creator's process still runs the image that made us. Its tid alone does not tell: when
// another thread execs, the new image takes over the leader's. We are a copy of the creator, so our
// own auxiliary vector (addresses of this very image: AT_RANDOM, AT_PHDR, AT_ENTRY, the vDSO) is
// what it must still have. Of a zombie it is empty (newer kernels: ESRCH). Unreadable: believed.
bool same_image(pid_t tgid) {
    char path[32] = "/proc/";
    char *p = path + 6, digits[12];
    int n = 0;
    for (unsigned v = (unsigned)tgid; v; v /= 10) digits[n++] = char('0' + v % 10);
    while (n) *p++ = digits[--n];
    memcpy(p, "/auxv", 6);
    long fd = sys::call(SYS_openat, -100 /* AT_FDCWD */, path, 02000000 /* O_CLOEXEC */, 0);
    if (fd < 0) return fd != -ESRCH;
    unsigned long vector[48];
    long bytes = sys::call(SYS_read, fd, vector, sizeof vector);
    sys::call(SYS_close, fd);
    if (bytes == 0) return false;
    for (long i = 0; (i + 2) * (long)sizeof(long) <= bytes && vector[i] != AT_NULL; i += 2)
        if ((vector[i] == AT_RANDOM || vector[i] == AT_PHDR || vector[i] == AT_ENTRY || vector[i] == AT_SYSINFO_EHDR ||
             vector[i] == AT_EXECFN) &&
            vector[i + 1] != getauxval(vector[i]))
            return false;
    return true;
}

// A tid means nothing in another pid namespace, where the parent's is 0: then only a bound is left.
constexpr long foreign_namespace_bound_ms = 10000;

bool creator_is_gone(const Gate &gate, long waited_ms) {
    if (sys::getppid() == 0) return waited_ms >= foreign_namespace_bound_ms;
    if (sys::call(SYS_tgkill, gate.creator_tgid, gate.creator_tid, 0) == -ESRCH) return true;
    return waited_ms >= 8 && !same_image(gate.creator_tgid);
}

}  // namespace

Hold take_gate(pid_t creator_tgid, pid_t creator_tid) {
    START_BSS static constinit std::atomic<unsigned> turn{0};
    Gate *gates = own_page();
    unsigned first = turn.fetch_add(1, std::memory_order_relaxed);
    for (unsigned n = 0; gates && n < gates_per_page; n++) {
        Gate &gate = gates[(first + n) % gates_per_page];
        uint32_t free = 0;
        if (!gate.used.compare_exchange_strong(free, 1, std::memory_order_acquire)) continue;
        uint32_t ticket = (gate.word.load(std::memory_order_relaxed) >> state_bits) + 1;
        ticket &= UINT32_MAX >> state_bits;
        gate.child_pid.store(0, std::memory_order_relaxed);
        gate.stopped_by = nullptr;
        gate.creator_tgid = creator_tgid;
        gate.creator_tid = creator_tid;
        gate.word.store(word_of(ticket, Gate::closed), std::memory_order_release);
        return {&gate, ticket};
    }
    return {};
}

void return_gate(const Hold &hold) {
    if (hold) hold->used.store(0, std::memory_order_release);
}

static bool leave_gate(const Hold &hold, Gate::State state) {
    uint32_t before = hold->word.exchange(word_of(hold.ticket, state), std::memory_order_acq_rel);
    if (before == word_of(hold.ticket, Gate::awaited)) futex_wake(hold->word);
    return before != word_of(hold.ticket, Gate::taken);
}

bool open_gate(const Hold &hold) { return leave_gate(hold, Gate::open); }

void refuse_at_gate(const Hold &hold) { leave_gate(hold, Gate::refused); }

pid_t await_child_pid(const Hold &hold) {
    std::atomic<uint32_t> &word = hold->child_pid;
    // Bounded: a child that was killed before it came this far leaves nothing.
    for (int round = 0; round < 40; round++) {
        if (uint32_t pid = word.load(std::memory_order_acquire)) return (pid_t)pid;
        futex_wait(word, 0, 50);
    }
    return 0;
}

Passage wait_at_gate(const Hold &hold, bool leave_pid) {
    Gate &gate = *hold.gate;
    if (leave_pid) {
        gate.child_pid.store((uint32_t)sys::getpid(), std::memory_order_release);
        futex_wake(gate.child_pid);
    }
    const uint32_t awaited = word_of(hold.ticket, Gate::awaited);
    uint32_t word = word_of(hold.ticket, Gate::closed);
    if (gate.word.compare_exchange_strong(word, awaited, std::memory_order_acq_rel)) word = awaited;
    long timeout = 1, waited = 0;
    while (word == awaited) {
        futex_wait(gate.word, awaited, timeout);
        waited += timeout;
        if (timeout < 50) timeout *= 2;
        word = gate.word.load(std::memory_order_acquire);
        if (word != awaited || !creator_is_gone(gate, waited)) continue;
        if (gate.word.compare_exchange_strong(word, word_of(hold.ticket, Gate::taken), std::memory_order_acq_rel))
            return Passage::taken_over;
    }
    // Another ticket: it was opened long ago. (A refused thread's gate is given back after it has ended.)
    return word == word_of(hold.ticket, Gate::refused) ? Passage::refused : Passage::released;
}

void forget_inherited_gates() {
    Gate *creators = page.load(std::memory_order_relaxed);
    if (!creators) return;
    inherited_page = creators;
    page.store(nullptr, std::memory_order_relaxed);
}

}  // namespace taskwatch
