// SPDX-License-Identifier: MIT
// Lifecycle: a process changes its user or group ids. One event for the whole process (libc repeats the
// system call in each thread), after a success, with the ids before and after.

#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "session.hpp"

namespace taskwatch {
namespace {

bool is_user(const IdCall &call) { return call.event == WATCH_TASK_UID; }

// Four ids as the kernel has them; setfsuid(-1) changes nothing and returns the present one (setfsuid(2)).
task_watch_ids read_ids(const IdCall &call) {
    task_watch_ids ids = {};
    sys::call(is_user(call) ? sys::nr_getresuid : sys::nr_getresgid, &ids.real, &ids.effective, &ids.saved);
    ids.filesystem = (uid_t)sys::call(is_user(call) ? sys::nr_setfsuid : sys::nr_setfsgid, -1);
    return ids;
}

bool same(const task_watch_ids &a, const task_watch_ids &b) {
    return a.real == b.real && a.effective == b.effective && a.saved == b.saved && a.filesystem == b.filesystem;
}

// Lets the user that this process becomes find the session after its next exec. An exec by a process whose real
// and effective ids differ does not load us, so a daemon that takes another user's rights for a while gives nothing.
bool give_session(const IdCall &call) {
    constexpr uid_t as_it_is = (uid_t)-1;
    if (!is_user(call) || !session.attached() || (call.real == as_it_is && call.effective == as_it_is)) return false;
    uid_t real = 0, effective = 0, saved = 0;
    sys::call(sys::nr_getresuid, &real, &effective, &saved);
    if (call.real != as_it_is && (!call.is_setuid || effective == 0)) real = call.real;
    if (call.effective != as_it_is) effective = call.effective;
    return real == effective && session.memory.give_to(effective);
}

int change_and_tell(const IdCall &call) {
    Thread &thread = self();
    uint32_t mask = is_user(call) ? WATCH_MASK_UID : WATCH_MASK_GID;
    if (!process.wants(mask)) return call.genuine(call.context);
    park_if_ending();
    task_watch_ids before = read_ids(call);
    auto record_of = [&] {
        task_watch record = make_record(identify(thread), call.name, thread);
        record.old_ids = record.ids = before;
        return record;
    };
    if (process.wants(WATCH_MASK_BEFORE)) {
        task_watch record = record_of();
        uint32_t need = mask | WATCH_MASK_BEFORE;
        WalkResult result = deliver(thread, call.event | WATCH_BEFORE, record, {.need = need, .honour = need});
        if (result.stopped()) {
            // setfsuid has no error: a refusal is that the value did not change.
            if (call.reads_back) return (int)before.filesystem;
            errno = errno_of_stop(result.value);
            return -1;
        }
    }
    int result = call.genuine(call.context);
    int error = errno;
    task_watch_ids after = read_ids(call);
    bool done = call.reads_back ? after.filesystem == call.filesystem_id : result == 0;
    if (done) {
        task_watch record = record_of();
        record.ids = after;
        unsigned long flags = (same(before, after) ? WATCH_UNCHANGED : 0) | take_adopted_flag(identify(thread));
        deliver(thread, call.event | flags, record, {.need = mask, .honour = ~0u});
    } else if (process.wants(WATCH_MASK_FAILED)) {
        task_watch record = record_of();
        record.ids = after;
        record.error = call.reads_back ? EPERM : error;
        deliver(thread, call.event | WATCH_FAILED, record, {.need = mask | WATCH_MASK_FAILED, .honour = ~0u});
    }
    errno = error;
    return result;
}

}  // namespace

int change_ids(const IdCall &call) {
    if (self().in_callback || !wanted(in_session | (is_user(call) ? WATCH_MASK_UID : WATCH_MASK_GID)) || process.quiet)
        return call.genuine(call.context);
    const bool given = give_session(call);
    const int result = change_and_tell(call);
    if (given && result != 0) session.memory.take_back();
    return result;
}

}  // namespace taskwatch
