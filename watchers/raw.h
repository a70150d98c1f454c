/* SPDX-License-Identifier: MIT */
/*
 * System calls of a callback. libc's functions set errno, which a child on foreign thread-local storage
 * shares with a thread that runs beside it, and they can be replaced by the program (mmap, kill).
 * These return a value or a negative errno and touch nothing else. Async-signal-safe.
 */
#ifndef WATCHERS_RAW_H
#define WATCHERS_RAW_H

#include <sys/syscall.h>

/* i386 has an older one too, of one argument. Offset 0 only: this one's counts pages there. */
#if defined(SYS_mmap2)
#define NR_MMAP SYS_mmap2
#else
#define NR_MMAP SYS_mmap
#endif

#if defined(__x86_64__)

static inline long raw_call(long number, long a1, long a2, long a3, long a4, long a5, long a6)
{
    register long r10 __asm__("r10") = a4;
    register long r8 __asm__("r8") = a5;
    register long r9 __asm__("r9") = a6;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a1), "S"(a2), "d"(a3), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#else

#include <errno.h>
#include <unistd.h>

static inline long raw_call(long number, long a1, long a2, long a3, long a4, long a5, long a6)
{
    int saved = errno;
    long result = syscall(number, a1, a2, a3, a4, a5, a6);

    if (result == -1)
        result = -errno;
    errno = saved;
    return result;
}

#endif

#endif /* WATCHERS_RAW_H */
