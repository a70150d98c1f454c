// SPDX-License-Identifier: MIT
// Lifecycle: who acts, what the record says, and one walk with the program's state kept.
#include <pthread.h>
#include <sys/sdt.h>

#include "clock.hpp"
#include "columns.hpp"
#include "lifecycle.hpp"
#include "message.hpp"
#include "own_storage.hpp"
#include "session.hpp"

namespace taskwatch {

constinit Process process;
// Behind all else that is there: what is seldom touched of it lies in the pages that follow.
[[gnu::section(".bss.start.last")]] constinit Chain chain;

uint32_t wanted_now() {
    if (process.config.disabled) return 0;
    return chain.wanted() | session.wanted() | (session.attached() ? in_session : 0);
}

void update_wanted() {
    uint32_t now = process.wanted.load(std::memory_order_relaxed);
    if (now & unstarted) {  // startup does it
        process.registered_early = true;
        return;
    }
    process.wanted.store(wanted_now(), std::memory_order_relaxed);
}

Task &identify(Thread &thread) {
    // Under a seccomp filter nothing is asked: what was known before has to do (R16).
    if (process.quiet) return thread.current ? *thread.current : process.main;
    // A fork or clone that nobody saw (libc's own, an inline system call) leaves what we remember stale: ask
    // the kernel. `tid` is what this task calls itself; its pid is what its creator sees (R3), which in a new pid
    // namespace is another number.
    pid_t tid = sys::gettid();
    if (thread.tid == tid && thread.current) return *thread.current;
    Task &main = process.main;
    if (thread.tid != tid || main.pid == 0) {
        pid_t pid = sys::getpid();
        thread.tid = tid;
        thread.current = nullptr;
        thread.depth = 0;
        if (main.pid != pid) {
            process.forget_other_threads();
            Task task;
            if (!ledger.find_living(pid, task)) {
                task = Task{};
                task.adopted = true;
                task.pid = task.tgid = pid;
                task.ppid = sys::getppid();
                task.start_ns = boottime_ns();
                Task parent;
                ledger.enter(task, ledger.find(task.ppid, parent) ? &parent : nullptr);
                ledger.settle(task);
            }
            main = task;
        }
    }
    return main;
}

unsigned long take_adopted_flag(Task &task) {
    bool first = task.adopted;
    task.adopted = false;
    return first ? WATCH_ADOPTED : 0;
}

task_watch make_record(const Task &task, const char *call, const Thread &thread) {
    task_watch record = {};
    record.size = sizeof record;
    record.context = (thread.in_vfork_child() ? TASKWATCH_IN_VFORK_CHILD : 0) |
                     (thread.foreign_tls ? TASKWATCH_FOREIGN_TLS : 0) | (process.quiet ? TASKWATCH_QUIET : 0);
    record.pid = task.pid;
    record.tgid = task.tgid;
    record.ppid = task.ppid;
    record.by = thread.tid;
    record.id = task.id;
    record.parent_id = task.parent_id;
    record.session = session.id();
    record.call = call;
    record.start_ns = task.start_ns;
    record.realtime_ns = realtime_ns();
    record.boottime_ns = boottime_ns();
    return record;
}

namespace {

void warn_of_stop_from_free(const notifier_block *, const char *name) {
    if (!columns.once(name, 31)) return;
    Line line;
    line << "watcher '" << name << "' returned STOP from FREE, which cannot be stopped: the others were called all the same";
    message(line);
}

}  // namespace

WalkResult deliver(Thread &thread, unsigned long action, task_watch &record, const Delivery &delivery) {
    int &number = program_errno(thread);
    const int saved_errno = number;
    // On foreign TLS the cancellation state is another thread's, which runs beside us.
    int cancel_state = PTHREAD_CANCEL_ENABLE;
    if (!thread.foreign_tls) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    thread.in_callback++;
    Walk walk{.action = action, .need = delivery.need, .honour = delivery.honour, .up_to = delivery.up_to, .progress = delivery.progress};
    if (get_watch_event(action) == WATCH_TASK_FREE) {
        walk.ignore_stop = true;
        walk.offender = warn_of_stop_from_free;
    }
    // Probes for perf and gdb: one nop each, and a note in the file that says where the arguments are. No
    // semaphore, which the tracer would count in the program's memory and we would load at each event.
    STAP_PROBE4(taskwatch, walk_begin, action, record.pid, record.id, record.call);
    WalkResult result = chain.walk(walk, record, thread.pins);
    STAP_PROBE4(taskwatch, walk_end, action, record.pid, record.id, result.value);
    thread.in_callback--;
    if (!thread.foreign_tls) pthread_setcancelstate(cancel_state, nullptr);
    number = saved_errno;
    return result;
}

int errno_of_stop(int value) {
    if (value < 0) return value >= -4095 ? -value : EAGAIN;
    int packed = -notifier_to_errno(value);
    if (packed >= 1 && packed <= 4095) return packed;
    return EAGAIN;
}

}  // namespace taskwatch
