// SPDX-License-Identifier: MIT
// Whether the calling task's thread-local storage was laid out by libc, and errno where it was not.
//
// A child that is made with CLONE_SETTLS may be given anything: a browser's sandbox hands over a zeroed array on its stack. What
// a compiler makes of `errno` and of thread_local then goes astray, by a pointer to the storage that is kept in it, or
// into its creator's variables. The genuine functions get along there, so ours have to.
//
// Include this in place of <cerrno>: errno is then the word that libc's own functions write, on any storage.
#pragma once

#include <cerrno>
#include <cstdint>

namespace taskwatch {

// glibc's thread control block begins with its own address, and has it again two words later. Elsewhere nobody has asked.
[[gnu::always_inline]] inline bool storage_is_libcs() {
#if defined(__x86_64__)
    uintptr_t block, again;
    asm("mov %%fs:0, %0\n\tmov %%fs:16, %1" : "=&r"(block), "=r"(again));
    return block != 0 && block == again;
#else
    return true;
#endif
}

// Where errno is there. A word of no use if nothing is.
[[gnu::cold]] int *errno_of_unknown_storage();

[[gnu::always_inline]] inline int &program_errno() {
    return storage_is_libcs() ? errno : *errno_of_unknown_storage();
}

}  // namespace taskwatch

#undef errno
#define errno taskwatch::program_errno()
