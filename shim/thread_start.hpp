// SPDX-License-Identifier: MIT
// Lifecycle of a thread that libc makes: INIT, the hold, CLONE, and its very end. Exported names are in
// wrap_thread.cpp.
#pragma once

#include <pthread.h>

#include "lifecycle.hpp"

namespace taskwatch {

// What a new thread needs to know. From a pool of our own: the creator's stack would make it wait for the
// thread, and malloc is the program's.
struct ThreadStart {
    void *function;  // void *(*)(void *) or int (*)(void *)
    void *argument;
    Hold gate;
    sys::SignalMask mask;
    bool blocked;
    bool mapped;     // not from the pool
    Task task;
};

// Makes the thread with `start` as its argument. `held`: joinable, with all signals blocked also in its
// own attributes. 0 or an errno.
using MakeThread = int(void *context, pthread_t *ret_thread, ThreadStart *start, bool held);

struct ThreadCall {
    const char *name;       // "pthread_create"
    void *function, *argument;
    bool detached;
    MakeThread *make;
    void *context;
};

// A whole pthread_create: 0 or an errno. `ret_thread` is written before the thread runs a line of the program,
// and untouched if it never does.
int create_thread(Thread &thread, const ThreadCall &call, pthread_t *ret_thread);

// In the new thread: waits for the decision and becomes the task. False: it is to end at once.
bool enter_thread(ThreadStart *start, ThreadStart &ret_copy);

// Takes the key whose destructor tells a thread's end, once: before the first thread or the program's own first key is
// made, whichever comes first. Arms it for the calling thread, which as a rule is the main one: while that is the
// only one, its end is the process's.
void watch_thread_ends();
bool is_thread_end_key(pthread_key_t key);
// The program has made a key of its own: what that key's destructor does comes before a thread's end is told.
void note_program_key(void (*destructor)(void *));

// The tid of a thread that cannot go away meanwhile, or 0.
pid_t tid_of(pthread_t thread);

// Whom a join is about. Of a thread that has ended libc does not know the tid any more, but its storage is there until the
// join; one that has not begun has nothing there yet, but a tid.
struct Joined {
    Task task;
    pid_t tid;  // 0: `task` is known
};
Joined look_before_join(pthread_t thread);
// After a successful join: EXIT and FREE for a thread that could not tell them itself.
void end_joined_thread(const Joined &joined, const char *call);

// libc's own, without our wrappers.
int join_genuinely(pthread_t thread);
int delete_key_genuinely(pthread_key_t key);

}  // namespace taskwatch
