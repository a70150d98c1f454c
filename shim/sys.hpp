// SPDX-License-Identifier: MIT
// System calls that touch neither errno nor anything else of the program's: they return a value or a
// negative errno. Usable in every context, a vfork child and a thread on foreign TLS included.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#if !defined(__x86_64__)
#include "real.hpp"
#endif

namespace taskwatch::sys {

#if defined(__x86_64__)

template <typename... Args>
[[gnu::always_inline]] inline long call(long number, Args... args) {
    static_assert(sizeof...(Args) <= 6);
    long a[6] = {(long)args...};
    long result;
    register long a4 asm("r10") = a[3];
    register long a5 asm("r8") = a[4];
    register long a6 asm("r9") = a[5];
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(a4), "r"(a5), "r"(a6)
                 : "rcx", "r11", "memory");
    return result;
}

#else

template <typename... Args>
inline long call(long number, Args... args) {
    static_assert(sizeof...(Args) <= 6);
    long a[6] = {(long)args...};
    int saved = errno;
    // libc's: the exported one is our own.
    long result = real::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == -1) result = -errno;
    errno = saved;
    return result;
}

#endif

// Calls that i386 has twice: under the old number with 16-bit ids, 32-bit sizes, or an mmap of one argument.
#if defined(__i386__)
constexpr long nr_mmap = SYS_mmap2;  // its offset counts pages: none but 0 is passed here
constexpr long nr_fstat = SYS_fstat64, nr_fstatat = SYS_fstatat64;  // struct stat by _FILE_OFFSET_BITS=64
constexpr long nr_getuid = SYS_getuid32, nr_getgid = SYS_getgid32, nr_geteuid = SYS_geteuid32;
constexpr long nr_getresuid = SYS_getresuid32, nr_getresgid = SYS_getresgid32;
constexpr long nr_setresuid = SYS_setresuid32, nr_setresgid = SYS_setresgid32;
constexpr long nr_setfsuid = SYS_setfsuid32, nr_setfsgid = SYS_setfsgid32;
#else
constexpr long nr_mmap = SYS_mmap;
constexpr long nr_fstat = SYS_fstat, nr_fstatat = SYS_newfstatat;
constexpr long nr_getuid = SYS_getuid, nr_getgid = SYS_getgid, nr_geteuid = SYS_geteuid;
constexpr long nr_getresuid = SYS_getresuid, nr_getresgid = SYS_getresgid;
constexpr long nr_setresuid = SYS_setresuid, nr_setresgid = SYS_setresgid;
constexpr long nr_setfsuid = SYS_setfsuid, nr_setfsgid = SYS_setfsgid;
#endif

inline pid_t gettid() { return (pid_t)call(SYS_gettid); }
inline pid_t getpid() { return (pid_t)call(SYS_getpid); }
inline pid_t getppid() { return (pid_t)call(SYS_getppid); }

// The kernel's signal set: one bit a signal, signal n at bit n-1.
using SignalMask = uint64_t;

constexpr SignalMask signal_bit(int signal) { return SignalMask{1} << (signal - 1); }

// Everything but the two that libc uses between threads (SIGCANCEL 32, SIGSETXID 33): blocking
// SIGSETXID over a thread's creation can deadlock a setuid() in another thread (nptl(7)).
constexpr SignalMask all_signals = ~(signal_bit(32) | signal_bit(33));

// Whether the kernel could read the word that this byte is in. What a program passes may be nowhere, which the kernel
// has to say (EFAULT) and not we by dying of it: with a `how` that does not exist it looks at the set and changes nothing.
inline bool is_readable(const void *byte) {
    return call(SYS_rt_sigprocmask, -1, reinterpret_cast<uintptr_t>(byte) & ~uintptr_t{7}, 0, 8) != -EFAULT;
}

inline SignalMask set_signal_mask(SignalMask mask) {
    SignalMask old = 0;
    call(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &mask, &old, sizeof mask);
    return old;
}

}  // namespace taskwatch::sys
