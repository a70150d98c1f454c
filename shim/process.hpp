// SPDX-License-Identifier: MIT
// What there is once in a process: its chain, its own task, which events anybody wants, what its
// descendants inherit.
#pragma once

#include <atomic>
#include <cstdint>

#include "chain.hpp"
#include "config.hpp"
#include "environment.hpp"
#include "sys.hpp"
#include "task.hpp"

namespace taskwatch {

// Not started yet: the first wrapped call starts us (another library's constructor may come before ours).
inline constexpr uint32_t unstarted = 0x80000000;

// There is a session: its tasks are entered and left also where no watcher wants the event.
inline constexpr uint32_t in_session = 0x40000000;

struct Process {
    // WATCH_MASK_ bits that a block of this process or the session wants, or `unstarted`. The one word
    // that a wrapper loads on its fast path.
    std::atomic<uint32_t> wanted{unstarted};
    Config config;
    Inheritance inheritance;
    char *const *argv = nullptr;  // of this image, from our constructor
    // The process's main task. pid is 0 until it is asked for (identify()) and in a forked child that
    // nobody watched.
    Task main;
    // The process ends: the thread that ends it; other threads that enter a wrapped call park.
    std::atomic<pid_t> ender{0};
    // The program has an atfork parent handler. It may wait for its own child handler, which runs only
    // after the hold: then CLONE has to be decided before that handler (F5.5 of the threads report).
    std::atomic<bool> program_parent_handlers{false};
    // Threads that we know of and that have not ended.
    std::atomic<int> live_threads{1};
    bool registered_early = false;   // a block, before the start
    bool quiet = false;              // a seccomp filter is installed: no hold, no probe, no new mapping
    bool exit_handler_used = false;  // our on_exit handler ran in a child on our memory

    // In a forked child: there are no other threads here, and nobody ends this process, whatever went on in the parent.
    void forget_other_threads() {
        ender.store(0, std::memory_order_relaxed);
        live_threads.store(1, std::memory_order_relaxed);
    }

    bool wants(uint32_t mask) const { return wanted.load(std::memory_order_relaxed) & mask; }
};

// Hidden, or each access would take the address from the global offset table first: -fvisibility is for definitions.
[[gnu::visibility("hidden")]] extern constinit Process process;
[[gnu::visibility("hidden")]] extern constinit Chain chain;

// What process.wanted should be.
uint32_t wanted_now();
// Recomputes process.wanted after a registration.
void update_wanted();

// Starts the library if that has not happened: reads the variables, finds the session, loads the
// watchers. In startup.cpp, where the order is written. errno is kept.
void ensure_started();

// The first question of a wrapper that has nothing else to do: true if the library is started and nobody wants any of
// these events. Two instructions; a compiler makes four of an atomic load and a test.
[[gnu::always_inline]] inline bool nobody_wants(uint32_t mask) {
#if defined(__x86_64__)
    bool none;
    asm volatile("testl %2, %1" : "=@ccz"(none) : "m"(process.wanted), "re"(mask | unstarted));
    return none;
#else
    return !(process.wanted.load(std::memory_order_relaxed) & (mask | unstarted));
#endif
}

// True if the caller has to do something for one of these events; starts the library on first use.
[[gnu::always_inline]] inline bool wanted(uint32_t mask) {
    uint32_t now = process.wanted.load(std::memory_order_relaxed);
    if (!(now & (mask | unstarted))) [[likely]] return false;
    if (now & unstarted) {
        ensure_started();
        now = process.wanted.load(std::memory_order_relaxed);
    }
    return (now & mask) && !(now & unstarted);
}

// Every event in which a task's life is recorded.
inline constexpr uint32_t mask_life =
    in_session | WATCH_MASK_INIT | WATCH_MASK_CLONE | WATCH_MASK_EXIT | WATCH_MASK_FREE;

}  // namespace taskwatch
