// SPDX-License-Identifier: MIT
#include "gate.hpp"

#include <linux/futex.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>

#include <cstring>

#include "sys.hpp"

namespace taskwatch {
namespace {

constexpr unsigned gates_per_page = 4096 / sizeof(Gate);
constinit std::atomic<Gate *> page{nullptr};
constinit Gate *inherited_page = nullptr;  // the creator's, of no use once its child was released

Gate *own_page() {
    if (Gate *known = page.load(std::memory_order_acquire)) return known;
    if (Gate *old = inherited_page) {
        inherited_page = nullptr;
        sys::call(SYS_munmap, old, 4096);
    }
    long address = sys::call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
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

Gate *take_gate(pid_t creator_tgid, pid_t creator_tid) {
    // In turn, not the lowest free one: a child that was released a moment ago may still be looking at its
    // gate, and must not find it closed for another.
    static constinit std::atomic<unsigned> turn{0};
    Gate *gates = own_page();
    unsigned first = turn.fetch_add(1, std::memory_order_relaxed);
    for (unsigned n = 0; gates && n < gates_per_page; n++) {
        unsigned i = (first + n) % gates_per_page;
        uint32_t free = 0;
        if (!gates[i].used.compare_exchange_strong(free, 1, std::memory_order_acquire)) continue;
        gates[i].state.store(Gate::closed, std::memory_order_relaxed);
        gates[i].child_pid.store(0, std::memory_order_relaxed);
        gates[i].refused.store(0, std::memory_order_relaxed);
        gates[i].stopped_by = nullptr;
        gates[i].creator_tgid = creator_tgid;
        gates[i].creator_tid = creator_tid;
        return &gates[i];
    }
    return nullptr;
}

void return_gate(Gate *gate) {
    if (gate) gate->used.store(0, std::memory_order_release);
}

bool open_gate(Gate *gate) {
    uint32_t before = gate->state.exchange(Gate::open, std::memory_order_acq_rel);
    if (before == Gate::awaited) futex_wake(gate->state);
    return before != Gate::taken;
}

pid_t await_child_pid(Gate *gate) {
    std::atomic<uint32_t> &word = gate->child_pid;
    // Bounded: a child that was killed before it came this far leaves nothing.
    for (int round = 0; round < 40; round++) {
        if (uint32_t pid = word.load(std::memory_order_acquire)) return (pid_t)pid;
        futex_wait(word, 0, 50);
    }
    return 0;
}

bool wait_at_gate(Gate *gate, bool leave_pid) {
    if (leave_pid) {
        gate->child_pid.store((uint32_t)sys::getpid(), std::memory_order_release);
        futex_wake(gate->child_pid);
    }
    uint32_t state = Gate::closed;
    if (!gate->state.compare_exchange_strong(state, Gate::awaited, std::memory_order_acq_rel))
        return state == Gate::open;
    long timeout = 1, waited = 0;
    while ((state = gate->state.load(std::memory_order_acquire)) == Gate::awaited) {
        futex_wait(gate->state, Gate::awaited, timeout);
        waited += timeout;
        if (timeout < 50) timeout *= 2;
        if (gate->state.load(std::memory_order_acquire) != Gate::awaited || !creator_is_gone(*gate, waited)) continue;
        if (gate->state.compare_exchange_strong(state, Gate::taken, std::memory_order_acq_rel)) return false;
    }
    return true;
}

void forget_inherited_gates() {
    Gate *creators = page.load(std::memory_order_relaxed);
    if (!creators) return;
    inherited_page = creators;
    page.store(nullptr, std::memory_order_relaxed);
}

}  // namespace taskwatch
