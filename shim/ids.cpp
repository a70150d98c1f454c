// SPDX-License-Identifier: MIT
// Lifecycle: a process changes its user or group ids. One event for the whole process (libc repeats the
// system call in each thread), after a success, with the ids before and after.

#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "session.hpp"

namespace taskwatch {
namespace {

bool is_user(const IdCall &call) { return call.event == WATCH_TASK_UID; }

constexpr uid_t as_it_is = (uid_t)-1;

// setfsuid(-1) changes nothing and returns the present one (setfsuid(2)).
uid_t read_filesystem_id(const IdCall &call) {
    return (uid_t)sys::call(is_user(call) ? sys::nr_setfsuid : sys::nr_setfsgid, -1);
}

void read_three(const IdCall &call, task_watch_ids &ret_ids) {
    sys::call(is_user(call) ? sys::nr_getresuid : sys::nr_getresgid, &ret_ids.real, &ret_ids.effective, &ret_ids.saved);
}

// Four ids as the kernel has them. Asked for at each call, not kept from the last: in a user namespace they change
// when another process writes the map, and with a program's own instruction, without any call that we see.
task_watch_ids read_ids(const IdCall &call) {
    task_watch_ids ids = {};
    read_three(call, ids);
    ids.filesystem = read_filesystem_id(call);
    return ids;
}

// After the call. Nothing has changed where it failed. All calls but setfsuid's give the filesystem id the effective one's
// value (credentials(7)); some kernels leave it as it was when the effective one is not named.
task_watch_ids read_new_ids(const IdCall &call, const task_watch_ids &before, bool failed) {
    task_watch_ids ids = before;
    if (failed) return ids;
    if (!call.reads_back) read_three(call, ids);
    ids.filesystem = call.reads_back || call.effective == as_it_is ? read_filesystem_id(call) : ids.effective;
    return ids;
}

bool same(const task_watch_ids &a, const task_watch_ids &b) {
    return a.real == b.real && a.effective == b.effective && a.saved == b.saved && a.filesystem == b.filesystem;
}

// Lets the user that this process becomes find the session after its next exec. An exec by a process whose real
// and effective ids differ does not load us, so a daemon that takes another user's rights for a while gives nothing.
bool may_give_session(const IdCall &call) {
    return is_user(call) && session.attached() && (call.real != as_it_is || call.effective != as_it_is);
}

bool give_session(const IdCall &call, const task_watch_ids &before) {
    uid_t real = before.real, effective = before.effective;
    if (call.real != as_it_is && (!call.is_setuid || effective == 0)) real = call.real;
    if (call.effective != as_it_is) effective = call.effective;
    return real == effective && session.memory.give_to(effective);
}

int change_and_tell(const IdCall &call, const task_watch_ids &before) {
    Thread &thread = self();
    const uint32_t mask = is_user(call) ? WATCH_MASK_UID : WATCH_MASK_GID;
    Task &task = identify(thread);
    auto record_of = [&](const task_watch_ids &after) {
        task_watch record = make_record(task, call.name, thread);
        record.old_ids = before;
        record.ids = after;
        return record;
    };
    if (process.wants(WATCH_MASK_BEFORE)) {
        task_watch record = record_of(before);
        uint32_t need = mask | WATCH_MASK_BEFORE;
        WalkResult result = deliver(thread, call.event | WATCH_BEFORE, record, {.need = need, .honour = need});
        if (result.stopped()) {
            // setfsuid has no error: a refusal is that the value did not change.
            if (call.reads_back) return (int)before.filesystem;
            errno = errno_of_stop(result.value);
            return -1;
        }
    }
    const int result = call.genuine(call.context);
    const int error = errno;
    const task_watch_ids after = read_new_ids(call, before, !call.reads_back && result != 0);
    const bool done = call.reads_back ? after.filesystem == call.filesystem_id : result == 0;
    if (done) {
        task_watch record = record_of(after);
        unsigned long flags = (same(before, after) ? WATCH_UNCHANGED : 0) | take_adopted_flag(task);
        deliver(thread, call.event | flags, record, {.need = mask, .honour = ~0u});
    } else if (process.wants(WATCH_MASK_FAILED)) {
        task_watch record = record_of(after);
        record.error = call.reads_back ? EPERM : error;
        deliver(thread, call.event | WATCH_FAILED, record, {.need = mask | WATCH_MASK_FAILED, .honour = ~0u});
    }
    errno = error;
    return result;
}

}  // namespace

int change_ids(const IdCall &call) {
    const uint32_t mask = is_user(call) ? WATCH_MASK_UID : WATCH_MASK_GID;
    if (self().in_callback || !wanted(in_session | mask) || process.quiet) return call.genuine(call.context);
    const bool tells = process.wants(mask), may_give = may_give_session(call);
    if (tells) park_if_ending();
    task_watch_ids before = {};
    if (tells)
        before = read_ids(call);
    else if (may_give)
        read_three(call, before);
    const bool given = may_give && give_session(call, before);
    const int result = tells ? change_and_tell(call, before) : call.genuine(call.context);
    if (given && result != 0) session.memory.take_back();
    return result;
}

}  // namespace taskwatch
