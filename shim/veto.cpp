// SPDX-License-Identifier: MIT
// The veto's swap of a signal's action, the table of hidden pids, and the child that sets its parent free.
//
// What stays visible: another thread that reads or sets the exit signal's action inside the window (some
// 200 us), and one that kill()s that signal there; a child that dies there and is reaped there by another
// thread is announced to nobody, and with SA_NOCLDWAIT it can be taken there although it should reap itself;
// SIGCHLDs directed at other threads are flushed; raw wait system calls; a tracer; a re-announced death
// has no CPU times (si_utime, si_stime).
#include "veto.hpp"

#include <sched.h>
#include <sys/wait.h>

#include <atomic>

#include "clock.hpp"
#include "notices.hpp"
#include "signal_action.hpp"
#include "sys.hpp"

namespace taskwatch {
namespace {

using sys::signal_bit;
using sys::SignalMask;

// One word, so that the price of all this for an approved fork is a load and a compare. Bit 0: a veto is
// under way, and this is its lock. Bits 1-15: pids that are hidden. Above: how many vetoes there have been.
constexpr uint64_t under_way = 1, one_hidden = 2, all_hidden = 0xfffe, one_veto = 0x10000;
constinit std::atomic<uint64_t> state{0};

// For another thread's veto, for a child's death (a tracer can delay it), for a wrapper to ask.
constexpr uint64_t patience_ns = 2'000'000'000;

void nap(long ns) {
    timespec t = {0, ns};
    sys::call(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, nullptr);
}

// ---- hidden pids

// The pid, and above it in milliseconds when the entry lapses; 0: not while the veto is under way.
//
// A corpse that the vetoing thread did not get was taken by another thread, whose wrapper will ask for the
// pid in a moment. A raw wait system call never asks, and a pid that stayed hidden would one day hide an
// innocent child from its parent. Hence the lapse, and veto_forget().
constinit std::atomic<uint64_t> hidden[64] = {};

constexpr pid_t pid_of(uint64_t entry) { return (pid_t)(uint32_t)entry; }
uint32_t milliseconds() { return (uint32_t)(clock_ns(CLOCK_MONOTONIC) / 1'000'000); }
uint64_t entry_of(pid_t pid, uint32_t lapse) { return (uint32_t)pid | (uint64_t)lapse << 32; }

// Negative: it has lapsed. Differences of the 32-bit clock stay right when it wraps.
int32_t time_left(uint64_t entry, uint32_t now) {
    uint32_t lapse = (uint32_t)(entry >> 32);
    return lapse ? (int32_t)(lapse - now) : INT32_MAX;
}

bool remove(std::atomic<uint64_t> &slot, uint64_t entry) {
    if (!slot.compare_exchange_strong(entry, 0)) return false;
    state.fetch_sub(one_hidden);
    return true;
}

// Removes what has lapsed on its way.
bool find_hidden(pid_t pid, bool consume) {
    uint32_t now = milliseconds();
    bool found = false;
    for (std::atomic<uint64_t> &slot : hidden) {
        uint64_t entry = slot.load();
        if (entry == 0) continue;
        if (time_left(entry, now) < 0) {
            remove(slot, entry);
            continue;
        }
        // Again if it changes meanwhile: the vetoing thread gives it its lapse when another one has the corpse.
        for (; pid_of(entry) == pid && !found; entry = slot.load()) found = !consume || remove(slot, entry);
    }
    return found;
}

// Its veto is over.
void stop_hiding(pid_t pid, bool reaped) {
    for (std::atomic<uint64_t> &slot : hidden) {
        uint64_t entry = slot.load();
        if (pid_of(entry) != pid) continue;
        if (reaped)
            remove(slot, entry);
        else
            slot.compare_exchange_strong(entry,
                                         entry_of(pid, (milliseconds() + patience_ns / 1'000'000) | 1));
    }
}

// ---- the swapped action

// A mask has no meaning for an action without a handler: here it says that the action is ours. The kernel
// clears the bits of SIGKILL and SIGSTOP in any.
constexpr SignalMask quiet_marker = 0x5e70'7461'736b'5e70 & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));

// Where a handler stays, the mask has a meaning. libc keeps its own signal 32 out of every mask that a
// program can make; blocked in a handler for an instant, it delays a cancellation.
constexpr SignalMask keeping_marker = signal_bit(32);

// What a child needs that another thread forks while the action is swapped: written before the swap, and kept
// afterwards because the kernel copies the actions some time before the memory.
struct Window {
    int signal;
    SignalAction program;
    SignalAction keeping;  // the program's without SA_NOCLDWAIT
    SignalAction quiet;    // nothing is sent
};
constinit Window window = {};

void repair_action() {
    if (window.signal == 0) return;
    SignalAction action = SignalAction::of(window.signal);
    if (action == window.quiet || action == window.keeping) window.program.install(window.signal);
}

constinit Notices notices;

// ---- the dance

// Under way in this process: bit 0 is ours. False if another thread has not come to an end in two seconds.
bool begin_veto() {
    uint64_t limit = clock_ns(CLOCK_MONOTONIC) + patience_ns;
    do {
        uint64_t now = state.load();
        while (!(now & under_way))
            if (state.compare_exchange_weak(now, now | under_way)) return true;
        nap(50'000);
    } while (clock_ns(CLOCK_MONOTONIC) < limit);
    return false;
}

void end_veto() { state.fetch_add(one_veto - under_way); }

// False if it was not to be had: another thread took the corpse, or the kernel reaped it itself.
bool kill_and_reap(pid_t child) {
    // Killed by somebody else and reaped in another thread, its pid may already be another's.
    siginfo_t info = {};
    if (sys::call(SYS_waitid, P_PID, child, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0) < 0) return false;
    sys::call(SYS_kill, child, SIGKILL);
    // Not a blocking wait, which a tracer could make endless. It dies within some 100 us: a nap, which takes
    // as long, would double the window.
    uint64_t start = clock_ns(CLOCK_MONOTONIC);
    for (uint64_t passed = 0; passed < patience_ns; passed = clock_ns(CLOCK_MONOTONIC) - start) {
        if (long pid = sys::call(SYS_wait4, child, 0, WNOHANG | __WALL, 0)) return pid == child;
        if (passed < 200'000)
            sys::call(SYS_sched_yield);
        else
            nap(50'000);
    }
    return false;
}

// The kernel looks at the forking thread's mask: what is blocked there is never dropped.
bool kill_unblocked(pid_t child, int signal) {
    SignalMask blocked = sys::set_signal_mask(sys::all_signals & ~signal_bit(signal));
    bool reaped = kill_and_reap(child);
    sys::set_signal_mask(blocked);
    return reaped;
}

// The general case. `harmless`: the handler for which the kernel drops the signal.
bool end_behind_swap(pid_t child, int signal, const SignalAction &program, uintptr_t harmless) {
    // Otherwise children that die in the window would reap themselves and leave nothing to announce: so they
    // are kept as zombies from before the swap until after it, and reaped here.
    bool keep = signal == SIGCHLD && (program.flags & SA_NOCLDWAIT);
    bool swap = keep || program.handler != harmless;
    window = {signal, program, program, {harmless, program.flags & SA_NOCLDSTOP, 0, quiet_marker}};
    if (keep) {
        window.keeping.flags &= ~(unsigned long)SA_NOCLDWAIT;
        window.keeping.mask |= keeping_marker;
    }

    notices.start(signal, program.flags, child);
    if (keep) window.keeping.install(signal);
    notices.take_pending();
    if (swap) window.quiet.install(signal);
    bool reaped = kill_unblocked(child, signal);
    if (swap) put_back(signal, window.quiet, window.keeping);
    notices.give_back();
    if (keep) {
        notices.announce_and_reap_new();
        put_back(signal, window.keeping, program);
        notices.reap_new();  // these the kernel announced
    } else {
        notices.announce_new();
    }
    return reaped;
}

bool end_unnoticed(pid_t child, int signal, SignalMask mask) {
    SignalAction program = SignalAction::of(signal);
    if (signal == SIGCHLD && program.handler == SignalAction::handler_ignore) {
        kill_and_reap(child);
        return true;  // no signal is made and no corpse left, so nobody else can have it
    }
    // SIG_DFL may kill with any other signal. SIG_IGN for SIGCHLD would reap everybody's children.
    uintptr_t harmless = signal == SIGCHLD ? SignalAction::handler_default : SignalAction::handler_ignore;
    if (program.handler != harmless || (mask & signal_bit(signal)))
        return end_behind_swap(child, signal, program, harmless);
    bool reaps_itself = signal == SIGCHLD && (program.flags & SA_NOCLDWAIT);
    return kill_unblocked(child, signal) || reaps_itself;
}

// 32 and 33 are libc's: swapped for an instant, a setuid() in another thread would wait for ever.
bool can_be_swapped(int signal) {
    return signal > 0 && signal <= 64 && (sys::all_signals & signal_bit(signal)) && signal != SIGKILL &&
           signal != SIGSTOP;
}

}  // namespace

void veto_announce(pid_t child) {
    veto_forget(child);
    uint64_t ours = entry_of(child, 0);
    state.fetch_add(one_hidden);
    uint32_t now = milliseconds();
    std::atomic<uint64_t> *oldest = &hidden[0];
    uint64_t oldest_entry = oldest->load();
    for (std::atomic<uint64_t> &slot : hidden) {
        uint64_t entry = 0;
        if (slot.compare_exchange_strong(entry, ours)) return;
        if (time_left(entry, now) < time_left(oldest_entry, now)) {
            oldest = &slot;
            oldest_entry = entry;
        }
    }
    // Full: the one that would lapse first makes room. All under way: so many threads veto at once that this
    // child goes unhidden.
    state.fetch_sub(one_hidden);
    if (time_left(oldest_entry, now) != INT32_MAX) oldest->compare_exchange_strong(oldest_entry, ours);
}

void veto_end_child(pid_t child, int exit_signal, uint64_t mask) {
    bool reaped;
    if (can_be_swapped(exit_signal) && begin_veto()) {
        reaped = end_unnoticed(child, exit_signal, mask);
        end_veto();
    } else {
        reaped = kill_and_reap(child);
    }
    stop_hiding(child, reaped);
}

void veto_make_dormant() {
    // 32 and 33 too: a handler of the second thread would run on the parent's stack.
    sys::set_signal_mask(~SignalMask{0});
#if defined(__x86_64__)
    constexpr long flags = CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    long result;
    // The second thread has our stack pointer and our thread-local storage, and touches neither.
    // All in here: what a sanitizer puts between a register variable and its use would spoil it.
    asm volatile(
        "xor %%edx, %%edx\n\t"
        "xor %%r10d, %%r10d\n\t"
        "xor %%r8d, %%r8d\n\t"
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "js 2f\n\t"
        "jz 1f\n\t"
        "xor %%edi, %%edi\n\t"
        "mov %[exit], %%eax\n\t"
        "syscall\n"
        "1:\n\t"
        "mov %[pause], %%eax\n\t"
        "syscall\n\t"
        "jmp 1b\n"
        "2:"
        : "=a"(result)
        : "a"(SYS_clone), "D"(flags), "S"(0), [exit] "i"(SYS_exit), [pause] "i"(SYS_pause)
        : "rcx", "rdx", "r8", "r10", "r11", "memory", "cc");
#endif
    for (;;) sys::call(SYS_exit_group, 127);
}

bool veto_hides(pid_t pid) { return veto_any_hidden() && find_hidden(pid, true); }

bool veto_would_hide(pid_t pid) { return veto_any_hidden() && find_hidden(pid, false); }

bool veto_any_hidden() { return state.load(std::memory_order_relaxed) & all_hidden; }

void veto_forget(pid_t pid) {
    if (veto_any_hidden()) find_hidden(pid, true);
}

uint64_t veto_before_fork() { return state.load(std::memory_order_relaxed); }

void veto_after_fork_in_child(uint64_t ticket) {
    uint64_t now = state.load(std::memory_order_relaxed);
    if (now == ticket && !(now & (under_way | all_hidden))) [[likely]]
        return;
    repair_action();
    // The veto under way and the hidden pids are the parent's.
    for (std::atomic<uint64_t> &slot : hidden) slot.store(0, std::memory_order_relaxed);
    state.store(0, std::memory_order_relaxed);
}

void veto_after_vfork_in_child(uint64_t ticket) {
    uint64_t now = state.load(std::memory_order_relaxed);
    if (now != ticket || (now & under_way)) [[unlikely]]
        repair_action();
}

}  // namespace taskwatch
