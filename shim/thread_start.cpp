// SPDX-License-Identifier: MIT
#include "thread_start.hpp"

#include <limits.h>
#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>

#include "clock.hpp"
#include "ledger.hpp"
#include "real.hpp"

namespace taskwatch {
namespace {

// What glibc's pthread_create passes to clone(2).
constexpr uint64_t thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                                  CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

// Threads on their way from pthread_create to their first line: few at a time.
constexpr unsigned pool_size = 64;
constinit ThreadStart pool[pool_size] = {};
constinit std::atomic<bool> taken[pool_size] = {};
constinit std::atomic<unsigned> turn{0};

// The key's number decides who runs last in a round of destructors: the program's first keys come before ours,
// and are the numbers that they would be without us. Not above this one: pthread_setspecific() allocates for
// those, with the program's malloc, in a thread for which a sanitizer's runtime has not made its own state yet.
constexpr pthread_key_t last_key_without_malloc = 31;  // PTHREAD_KEY_2NDLEVEL_SIZE - 1
constinit pthread_key_t end_key = 0;
constinit std::atomic<bool> have_key{false}, taking_key{false};
constinit std::atomic<bool> other_destructors{false};

// Looked for from our entry on: a sanitizer has one of its own, which is not usable at the start of a thread.
constexpr real::Genuine<int(pthread_t, clockid_t *), "pthread_getcpuclockid", ""> get_clock;

ThreadStart *take_start() {
    unsigned first = turn.fetch_add(1, std::memory_order_relaxed);
    for (unsigned n = 0; n < pool_size; n++) {
        unsigned i = (first + n) % pool_size;
        if (!taken[i].load(std::memory_order_relaxed) && !taken[i].exchange(true, std::memory_order_acquire))
            return &pool[i];
    }
    long address = sys::call(sys::nr_mmap, 0, sizeof(ThreadStart), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address < 0 && address > -4096) return nullptr;
    auto *start = reinterpret_cast<ThreadStart *>(address);
    start->mapped = true;
    return start;
}

void return_start(ThreadStart *start) {
    if (start->mapped)
        sys::call(SYS_munmap, start, sizeof *start);
    else
        taken[start - pool].store(false, std::memory_order_release);
}

// Runs last in the last round: it arms itself again until then, so that the program's own destructors have run. Each
// round looks at each key, so where the program has none with a destructor the first is the last.
void at_thread_end(void *value) {
    auto *thread = static_cast<Thread *>(value);
    if (other_destructors.load(std::memory_order_relaxed) && ++thread->end_rounds < PTHREAD_DESTRUCTOR_ITERATIONS) {
        pthread_setspecific(end_key, thread);
        return;
    }
    // The last one leaves its end to exit(): libc calls that for it.
    if (process.live_threads.fetch_sub(1, std::memory_order_acq_rel) == 1) return;
    if (thread->in_callback || !wanted(mask_life)) return;
    end_task(*thread, identify(*thread), "pthread_exit", 0, false);
}

}  // namespace

pid_t tid_of(pthread_t thread) {
    clockid_t clock;
    // The kernel's encoding of a thread's clock; libc takes the tid from the thread's own descriptor.
    return get_clock(thread, &clock) == 0 ? (pid_t)(~(unsigned)clock >> 3) : 0;
}

int create_thread(Thread &thread, const ThreadCall &call, pthread_t *ret_thread) {
    watch_thread_ends();
    Creation creation;
    creation.call = {call.name, thread_flags};
    creation.ends_itself = creation.defer_open = true;
    if (!begin_creation(thread, creation)) return creation.error;
    thread.creating = nullptr;  // no fork of libc's is under way
    ThreadStart *start = take_start();
    if (!start) {
        fail_creation(thread, creation, EAGAIN);
        return EAGAIN;
    }
    *start = {call.function, call.argument, creation.gate, creation.mask, creation.blocked, start->mapped, creation.child};
    bool held = (bool)creation.gate;
    pthread_t made;
    process.live_threads.fetch_add(1, std::memory_order_acq_rel);
    int error = call.make(call.context, held ? &made : ret_thread, start, held);
    if (error) {
        process.live_threads.fetch_sub(1, std::memory_order_acq_rel);
        return_start(start);
        fail_creation(thread, creation, error);
        return error;
    }
    // Nobody wants CLONE: the thread runs already and tells the session its tid itself.
    if (!held) {
        release_creator(thread, creation);
        return 0;
    }
    pthread_t before = *ret_thread;
    *ret_thread = made;
    pid_t tid = tid_of(made);
    decide_creation(thread, creation, tid);
    if (creation.verdict.stopped()) {
        *ret_thread = before;
        int state;
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        join_genuinely(made);
        pthread_setcancelstate(state, nullptr);
        process.live_threads.fetch_sub(1, std::memory_order_acq_rel);
    } else {
        // Before it runs, so that it finds itself as its maker wanted it.
        if (call.detached) pthread_detach(made);
        open_gate(creation.gate);
    }
    return finish_creation(thread, creation, tid) < 0 ? creation.error : 0;
}

bool enter_thread(ThreadStart *record, ThreadStart &ret_copy) {
    ret_copy = *record;
    return_start(record);
    if (ret_copy.gate && wait_at_gate(ret_copy.gate, false) == Passage::refused) return false;
    Thread &thread = self();
    thread.tid = tid_of(pthread_self());
    thread.task = ret_copy.task;
    thread.task.pid = thread.tid;
    thread.task.start_ns = boottime_ns();
    __atomic_store_n(&thread.current, &thread.task, __ATOMIC_RELEASE);  // for look_before_join()
    if (!ret_copy.gate) ledger.settle(thread.task);
    if (have_key.load(std::memory_order_acquire)) pthread_setspecific(end_key, &thread);
    if (ret_copy.blocked) sys::set_signal_mask(ret_copy.mask);
    return true;
}

void watch_thread_ends() {
    if (taking_key.load(std::memory_order_relaxed) || taking_key.exchange(true, std::memory_order_relaxed)) return;
    pthread_key_t keys[last_key_without_malloc + 1];
    unsigned count = 0;
    // libc gives the lowest number that is free; the one beyond is taken only to see that it is.
    while (count <= last_key_without_malloc && real::pthread_key_create(&keys[count], at_thread_end) == 0)
        if (keys[count++] >= last_key_without_malloc) break;
    unsigned ours = count;
    while (ours > 0 && keys[ours - 1] > last_key_without_malloc) ours--;
    for (unsigned i = 0; i < count; i++)
        if (i + 1 != ours) delete_key_genuinely(keys[i]);
    if (ours == 0) return;  // others hold them all: threads' ends are told on behalf
    end_key = keys[ours - 1];
    have_key.store(true, std::memory_order_release);
    pthread_setspecific(end_key, &self());
}

void note_program_key(void (*destructor)(void *)) {
    // Looked at first: a page that is written is a page that each fork has to copy.
    if (destructor && !other_destructors.load(std::memory_order_relaxed))
        other_destructors.store(true, std::memory_order_relaxed);
}

bool is_thread_end_key(pthread_key_t key) { return have_key.load(std::memory_order_relaxed) && key == end_key; }

Joined look_before_join(pthread_t thread) {
    const Thread &other = thread_of(thread);
    auto has_begun = [&] { return __atomic_load_n(&other.current, __ATOMIC_ACQUIRE) == &other.task; };
    if (has_begun()) return {other.task, 0};
    // It may begin and end between the two looks: then it has no tid any more.
    pid_t tid = tid_of(thread);
    if (tid <= 0 && has_begun()) return {other.task, 0};
    return {{}, tid};
}

void end_joined_thread(const Joined &joined, const char *call) {
    if (!wanted(mask_life) || self().in_callback) return;
    Task task = joined.task;
    if (joined.tid > 0 && (!ledger.find_owing(joined.tid, task) || task.pid == task.tgid)) return;
    // No slot: nobody watched when it was made.
    if (task.slot != Task::no_slot) end_on_behalf(task, {.call = call, .dead = task.pid});
}

}  // namespace taskwatch
