// SPDX-License-Identifier: MIT
// Lifecycle: a process changes its user or group ids. One event for the whole process (libc repeats the
// system call in each thread), after a success, with the ids before and after.
#include <cerrno>

#include "lifecycle.hpp"

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

}  // namespace

int change_ids(const IdCall &call) {
    Thread &thread = self();
    uint32_t mask = is_user(call) ? WATCH_MASK_UID : WATCH_MASK_GID;
    if (thread.in_callback || !wanted(mask) || process.quiet) return call.genuine(call.context);
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

}  // namespace taskwatch
