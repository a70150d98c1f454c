// SPDX-License-Identifier: MIT
// What the wrapped calls mean: create (INIT, hold, CLONE, release or undo), image (EXEC), ids (UID,
// GID), end (EXIT, FREE). The genuine call comes in as a parameter, so all of this is tested without
// preload. Exported names are in wrap_*; the order of start-up in startup.cpp.
//
// errno: functions that stand for a whole call leave what the program is to see; the others keep it.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstdint>

#include "gate.hpp"
#include "process.hpp"
#include "thread.hpp"

namespace taskwatch {

// --- delivering

// Who is acting: the calling thread's task, with a true pid. Adopts a task that was never met.
// One or two system calls.
Task &identify(Thread &thread);

// WATCH_ADOPTED for the first event about a task that was met without INIT, 0 for later ones.
unsigned long take_adopted_flag(Task &task);

// A record for an event about `task`, with both clocks read.
task_watch make_record(const Task &task, const char *call, const Thread &thread);

struct Delivery {
    uint32_t need;              // WATCH_MASK_ bits
    uint32_t honour = 0;        // see Walk
    uint64_t up_to = UINT64_MAX;
    Progress *progress = nullptr;  // a Claim
};

// Walks the chain with `record`: errno kept, cancellation off, reentrance guarded.
WalkResult deliver(Thread &thread, unsigned long action, task_watch &record, const Delivery &delivery);

// What a stopped call fails with: what the watcher packed, a raw negative errno, or what its plain
// value means (R6).
int errno_of_stop(int value);

// --- create

struct CreateCall {
    const char *name;   // "fork"
    uint64_t flags;     // as in clone(2), exit signal included
    bool held = true;   // false: libc makes the child by itself, and CLONE is not told
};

// One creation, on the creator's stack from INIT until the child is released.
struct Creation {
    CreateCall call = {};
    Task child;
    uint64_t serial = 0;         // newest block that INIT's walk could see
    sys::SignalMask mask = 0;    // the program's
    bool blocked = false;        // somebody wants INIT or CLONE: signals are blocked
    Hold gate;                   // where the child is held; none: it is not
    const Task *creator = nullptr;
    pid_t creator_tid = 0, creator_tgid = 0;
    uint64_t ticket = 0;         // veto_before_fork()
    bool decided = false;        // CLONE was walked (by our atfork parent handler, or in the child)
    bool held = false;           // child: the hold is behind us
    bool no_hold = false;        // a gate would be of no use
    bool ends_itself = false;    // a thread: it cannot be killed alone
    bool defer_open = false;     // the caller opens the gate
    bool leave_pid = false;      // child: leave the pid at the gate, our atfork parent handler waits for it
    WalkResult verdict;
    int error = 0;               // why it failed

    int exit_signal() const { return (int)(call.flags & 0xff); }
};

// INIT. False: stopped or without means, nothing was made, creation.error is set and everything is as
// before (FREE was delivered). True: signals are blocked, go on and make the child.
bool begin_creation(Thread &thread, Creation &creation);

// The genuine call failed with `error`: FREE to INIT's watchers; signals as before.
void fail_creation(Thread &thread, Creation &creation, int error);

// FREE for a creation that leaves no living child, unless somebody who found the child dead has told its end
// already. `record` is filled but for the event.
void free_refused(Thread &thread, const Task &child, task_watch &record, uint64_t up_to);

// In the creator, the child `pid` exists: CLONE, then the gate is opened, or the child ended. Returns pid, or
// -1 with creation.error. Signals as before.
pid_t finish_creation(Thread &thread, Creation &creation, pid_t pid);

// A stopped thread cannot be killed alone, it ends itself: waits until the kernel has let go of its stack.
void await_thread_end(pid_t tgid, pid_t tid);

// The creator's part is over without CLONE: signals as before.
void release_creator(Thread &thread, Creation &creation);

// CLONE's walk and what becomes of the gate; finish_creation() does it unless it was done already.
void decide_creation(Thread &thread, Creation &creation, pid_t pid);

// In the child, on its own memory (fork) or on its creator's with a stack of its own: waits at the gate,
// takes over CLONE if the creator is gone, becomes the new task. Signals stay blocked until
// release_child().
void arrive_in_child(Thread &thread, Creation &creation);
void release_child(const Creation &creation);

// A whole fork-like call: returns twice, like it.
pid_t create_process(const CreateCall &call, pid_t (*genuine)(void *), void *context);

// --- vfork: the child on our memory and stack, the parent suspended by the kernel

// Before: the level, or null with *ret_error (0: pass through unwatched).
VforkLevel *begin_vfork(Thread &thread, const CreateCall &call, int *ret_error);
// Child's side: CLONE. Returns if the child may go on, otherwise it never does.
void arrive_in_vfork_child(Thread &thread, VforkLevel &level, const CreateCall &call);
// Child's side of our own spawn: CLONE; 0 or the errno to end with. `pid`: as the creator sees it.
int decide_in_vfork_child(Thread &thread, VforkLevel &level, const CreateCall &call, pid_t pid);
// Parent's side. `result`: pid or negative errno. Returns what the call returns (negative errno).
long finish_vfork(Thread &thread, VforkLevel &level, const CreateCall &call, long result);
// Parent's side of our own spawn when the child lived and its exec failed: EXIT and FREE for it.
void finish_failed_spawn(Thread &thread, VforkLevel &level, const CreateCall &call);
// Gives the level up without a child of ours: FREE to INIT's watchers.
void abandon_vfork(Thread &thread, VforkLevel &level, const CreateCall &call);
// A child that does not run on the creator's stack. With a memory of its own (no CLONE_VM) it leaves at `verdict`
// what its creator has to know; null otherwise. The gate is given back by finish_suspended_child().
void arrive_in_suspended_child(Thread &thread, VforkLevel &level, const CreateCall &call, const Hold &verdict);
long finish_suspended_child(Thread &thread, VforkLevel &level, const CreateCall &call, const Hold &verdict, long result);

// --- image

struct ImageCall {
    const char *name;        // "execve"
    int directory;           // as in execveat(2)
    const char *path;
    int flags;
    bool search;             // execvp: look in PATH
    char *const *argv;
    char *const *envp;
    // The genuine call with the environment to pass. Returns only if it failed, errno set.
    int (*genuine)(const ImageCall &call, const char *path, char *const *argv, char *const *envp);
};

// A whole exec call: BEFORE, forecast, repaired environment, FAILED. Returns -1 and errno.
int replace_image(const ImageCall &call);
// One candidate of it, for our own spawn: repairs the environment, tells the forecast. A positive errno.
int try_image(const ImageCall &call, const char *path, char *const *argv, char *const *envp);
// EXEC of this image, at start-up.
void announce_image(Thread &thread);

// --- ids

struct IdCall {
    const char *name;             // "seteuid"
    uint32_t event;               // WATCH_TASK_UID or WATCH_TASK_GID
    bool reads_back;              // setfsuid: no error, success is the value read back
    uid_t filesystem_id;          // what it asks for
    uid_t real = (uid_t)-1, effective = (uid_t)-1;  // a user's ids that it asks for, -1: as they are
    bool is_setuid = false;       // with privilege it sets all of them
    int (*genuine)(void *context);
    void *context;
};
int change_ids(const IdCall &call);

// --- end

// EXIT and FREE of the calling task, once; later calls do nothing. `status`: raw wait status.
// `group`: the whole process ends (other threads park from now on).
void end_task(Thread &thread, Task &task, const char *call, int status, bool group);
// How a task has ended, as the one says who tells it.
struct Ending {
    const char *call;
    int status = 0;
    bool status_known = true;
    pid_t dead = 0;  // a process or thread that the caller knows to be gone
    const struct rusage *usage = nullptr;  // what the kernel counted for it
};
// On behalf of a task that could not do it itself; the first to claim it delivers.
void end_on_behalf(const Task &task, const Ending &ending);
// The same for a child that a wait function has just returned.
void end_reaped_child(pid_t pid, int status, const char *call, const struct rusage *usage = nullptr);
// True if a wait that was not asked for the usage should be made through one that tells it: EXIT is wanted, and no
// other preload has a waitpid or waitid of its own that would be passed by.
bool wants_usage();
// In a new image: the threads that the exec cut off.
void end_threads_cut_off(const Task &task);
// taskwatch_sweep().
int sweep_dead();
// Parks the calling thread for good if another one is ending the process.
void park_if_ending();

}  // namespace taskwatch
