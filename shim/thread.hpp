// SPDX-License-Identifier: MIT
// What a thread is doing with us: whether it is inside a callback, which task it is, what it is making.
//
// Thread-local, initial-exec (a general-dynamic access may call malloc). A vfork child shares it with
// its suspended parent, so whatever the child changes the parent puts back when it resumes; a
// CLONE_VM child without CLONE_SETTLS shares it concurrently and gets a Thread of its own from
// a small pool, found by its tid (see self()).
#pragma once

#include <pthread.h>

#include <cstdint>

#include "chain.hpp"
#include "path_search.hpp"
#include "sys.hpp"
#include "task.hpp"

namespace taskwatch {

struct Creation;

// A vfork child that runs on this thread's memory. The array is a stack; the parent keeps its own level
// over the system call, because the child's changes to `depth` are the parent's too.
struct VforkLevel {
    Task child;
    sys::SignalMask mask;     // the program's, before INIT
    uint64_t serial;          // newest block that INIT's walk could see
    Task *outer;              // who was current before
    pid_t outer_tid;
    uint64_t ticket;          // veto_before_fork()
    int veto_error;           // != 0: CLONE was stopped; the child lies dormant, the parent ends it
    int veto_verdict;
    const char *stopped_by;
    uint8_t pins;             // depth of the pin stack before
    void *environment;        // mapping of a repaired environment: the parent's, once the child has exec'd
    uint64_t environment_bytes;
    PathMemory search;        // of an execvp in the child
    const char *call_name;    // of a raw system call, which has no frame to keep them in
    uint64_t call_flags;
};

struct Thread {
    static constexpr unsigned max_levels = 4;

    pid_t tid;             // 0: unknown
    uint32_t in_callback;  // > 0: calls pass through unwatched
    bool signals_blocked;  // all of them, by us
    bool foreign_tls;
    Task *current;         // null: the process's main task
    Task task;             // of a thread that is not the process's first, and of a child on foreign TLS
    uint8_t end_rounds;    // rounds of key destructors so far
    int *errno_place;      // see program_errno()
    Creation *creating;    // fork under way: our atfork handlers find it here
    PinStack pins;
    uint32_t depth;        // of levels
    VforkLevel levels[max_levels];

    bool in_vfork_child() const { return depth > 0; }
};

// The calling thread's. One TLS access, unless a child on foreign TLS was ever made in this process:
// then one gettid() more. On storage that libc has not laid out it is one that is for ever in a callback: the genuine
// functions are called, and its parent's wait tells its end.
Thread &self();

// errno. Where it is is asked for once: in a forked child the function that tells is a page fault.
int &program_errno(Thread &thread);

// Another thread's, while it is there or waits to be joined: its static TLS is as far from its pthread_t as ours is.
const Thread &thread_of(pthread_t thread);

// A Thread for the calling task, which runs on another's TLS; null if the pool is used up. Released
// with leave_foreign_tls().
Thread *enter_foreign_tls(pid_t tid);
void leave_foreign_tls(Thread &thread);

}  // namespace taskwatch
