// SPDX-License-Identifier: MIT
#include "thread.hpp"

#include <atomic>

#include "own_storage.hpp"
#include "process.hpp"
#include "start_data.hpp"

namespace taskwatch {
namespace {

thread_local constinit Thread own{};

// Children on foreign TLS. Few at a time (a program that makes such children makes one or two); one
// that finds no place goes on unwatched.
constexpr unsigned foreign_capacity = 16;
constinit std::atomic<pid_t> foreign_owner[foreign_capacity] = {};
constinit Thread foreign[foreign_capacity] = {};
START_DATA constinit std::atomic<bool> foreign_seen{false};

[[gnu::noinline, gnu::cold]] Thread *find_foreign() {
    pid_t tid = sys::gettid();
    for (unsigned i = 0; i < foreign_capacity; i++)
        if (foreign_owner[i].load(std::memory_order_relaxed) == tid) return &foreign[i];
    return nullptr;
}

// Of a task on storage that libc has not laid out. Nobody writes here but this one word, with one value.
[[gnu::noinline, gnu::cold]] Thread &unwatched() {
    static constinit Thread thread{};
    std::atomic_ref(thread.in_callback).store(1, std::memory_order_relaxed);
    return thread;
}

}  // namespace

Thread &self() {
    if (foreign_seen.load(std::memory_order_relaxed)) [[unlikely]]
        if (Thread *thread = find_foreign()) return *thread;
    if (!storage_is_libcs()) [[unlikely]] return unwatched();
    return own;
}

int &program_errno(Thread &thread) {
    if (!thread.errno_place) thread.errno_place = &errno;
    return *thread.errno_place;
}

const Thread &thread_of(pthread_t thread) {
    const uintptr_t distance = (uintptr_t)&own - (uintptr_t)pthread_self();
    return *reinterpret_cast<const Thread *>((uintptr_t)thread + distance);
}

Thread *enter_foreign_tls(pid_t tid) {
    foreign_seen.store(true, std::memory_order_relaxed);
    for (unsigned i = 0; i < foreign_capacity; i++) {
        // A child that was killed has not given its place back.
        pid_t owner = foreign_owner[i].load(std::memory_order_relaxed);
        if (owner != 0 && sys::call(SYS_kill, owner, 0) != -ESRCH) continue;
        if (!foreign_owner[i].compare_exchange_strong(owner, tid)) continue;
        chain.release_down_to(foreign[i].pins, 0);
        foreign[i] = Thread{};
        foreign[i].tid = tid;
        foreign[i].foreign_tls = true;
        return &foreign[i];
    }
    return nullptr;
}

void leave_foreign_tls(Thread &thread) {
    foreign_owner[&thread - foreign].store(0, std::memory_order_release);
}

}  // namespace taskwatch
