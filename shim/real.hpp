// SPDX-License-Identifier: MIT
// The genuine functions: real::fork() is the next definition after ours, libc's or another preload's.
//
// Found on first use by our own walk of the link map, from our own entry on: no lock, no malloc, no
// dlsym (which takes the loader's lock and allocates for a missing symbol), so from any context. The
// objects mapped at start-up are never unloaded and libc is one of them, so the part of the list that
// is read does not change.
#pragma once

#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <threads.h>
#include <wordexp.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace taskwatch::real {

// The definition of `name` (with `version`, or the default one if that is "") in the objects after
// ours; null if there is none. Async-signal-safe.
void *find(const char *name, const char *version);

// Before the first fork: finds what a child calls as a rule, which would otherwise look for it itself, each one anew.
void find_for_children();

// True if both addresses are of one of the objects after ours. Async-signal-safe.
bool in_one_object(const void *a, const void *b);

// The path that the dynamic linker loaded us by, relative if it was named so. Null without its list.
const char *own_path();

template <size_t N>
struct Literal {
    char text[N];
    constexpr Literal(const char (&literal)[N]) {
        for (size_t i = 0; i < N; i++) text[i] = literal[i];
    }
    template <size_t M>
    constexpr bool is(const char (&other)[M]) const {
        bool same = N == M;
        for (size_t i = 0; same && i < N; i++) same = text[i] == other[i];
        return same;
    }
};

template <typename F, Literal name, Literal version>
struct Genuine;

// One genuine function. Name and version are template arguments, so that a table of pointers, which
// the dynamic linker would have to relocate in each process, does not exist.
template <typename R, typename... A, Literal name, Literal version>
struct Genuine<R(A...), name, version> {
    using Function = R (*)(A...);
    // Null if this libc has no such function.
    static Function get() {
        Function f = cached.load(std::memory_order_relaxed);
        return f ? f : look_up();
    }
    // For what a process calls once: found anew, so that nothing is written.
    static Function get_once() { return reinterpret_cast<Function>(find(name.text, version.text)); }
    R operator()(A... arguments) const {
        if (Function f = get()) return f(arguments...);
        errno = ENOSYS;
        return (R)-1;
    }

  private:
    [[gnu::noinline, gnu::cold]] static Function look_up() {
        auto f = reinterpret_cast<Function>(find(name.text, version.text));
        cached.store(f, std::memory_order_relaxed);
        if constexpr (name.is("fork") || name.is("_Fork")) find_for_children();
        return f;
    }
    static constinit inline std::atomic<Function> cached{nullptr};
};

#if defined(__i386__)
#define SPAWN_OF_OLD "GLIBC_2.2"
#else
#define SPAWN_OF_OLD "GLIBC_2.2.5"
#endif
#define FUNCTION(name, ret, parameters, version) \
    inline constexpr Genuine<ret parameters, #name, version> name;
#define VERSIONED(internal, name, ret, parameters, version) \
    inline constexpr Genuine<ret parameters, #name, version> internal;
#define ALIAS(name, function)
#define VARIADIC(name)
#include "functions.def"
#undef FUNCTION
#undef VERSIONED
#undef ALIAS
#undef VARIADIC

inline constexpr Genuine<int(int (*)(void *), void *, int, void *, pid_t *, void *, pid_t *), "clone", ""> clone;
inline constexpr Genuine<long(long, long, long, long, long, long, long), "syscall", ""> syscall;

}  // namespace taskwatch::real
