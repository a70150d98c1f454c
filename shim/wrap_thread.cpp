// SPDX-License-Identifier: MIT
// Exported: pthread_create, thrd_create, the join functions, and for the key that tells a thread's end the functions
// that make and delete keys.
#include <pthread.h>
#include <threads.h>

#include <csignal>
#include <cstring>

#include "export.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "thread_start.hpp"
#include "true_end.hpp"

using namespace taskwatch;

namespace {

// Looked for when they are needed: an import of a version of its own is checked in each process.
constexpr real::Genuine<int(pthread_attr_t *, size_t, const cpu_set_t *), "pthread_attr_setaffinity_np", ""> set_affinity;
constexpr real::Genuine<int(pthread_attr_t *, const sigset_t *), "pthread_attr_setsigmask_np", ""> set_signal_mask;
constexpr real::Genuine<int(const pthread_attr_t *, sigset_t *), "pthread_attr_getsigmask_np", ""> get_signal_mask;

// Not noexcept: pthread_exit and cancellation unwind through these frames.
void *start_pthread(void *record) {
    ThreadStart start;
    if (!enter_thread(static_cast<ThreadStart *>(record), start)) return nullptr;
    return reinterpret_cast<void *(*)(void *)>(start.function)(start.argument);
}

int start_thrd(void *record) {
    ThreadStart start;
    if (!enter_thread(static_cast<ThreadStart *>(record), start)) return 0;
    return reinterpret_cast<int (*)(void *)>(start.function)(start.argument);
}

// The program's attributes in a fresh object whose signal mask is full: libc would open the program's mask in
// the thread before our hold, and its handlers would run there. (A byte copy shares the part that holds the mask.)
int fully_masked_copy(const pthread_attr_t *from, pthread_attr_t *ret) {
    int error = pthread_attr_init(ret), detach, inherit, scope, policy;
    if (error) return error;
    size_t guard = 0, size = 0;
    void *stack = nullptr;
    sched_param parameter = {};
    cpu_set_t affinity;
    sigset_t full;
    sigfillset(&full);
    pthread_attr_getdetachstate(from, &detach);
    pthread_attr_getinheritsched(from, &inherit);
    pthread_attr_getscope(from, &scope);
    pthread_attr_getschedpolicy(from, &policy);
    pthread_attr_getschedparam(from, &parameter);
    pthread_attr_getguardsize(from, &guard);
    pthread_attr_setinheritsched(ret, inherit);
    pthread_attr_setscope(ret, scope);
    pthread_attr_setschedpolicy(ret, policy);
    pthread_attr_setschedparam(ret, &parameter);
    if (pthread_attr_getstack(from, &stack, &size) == 0 && stack)
        error = pthread_attr_setstack(ret, stack, size);
    else if (pthread_attr_getstacksize(from, &size) == 0 && size)
        error = pthread_attr_setstacksize(ret, size);
    pthread_attr_setguardsize(ret, guard);
    if (!error && pthread_attr_getaffinity_np(from, sizeof affinity, &affinity) == 0)
        error = set_affinity(ret, sizeof affinity, &affinity);
    return error ? error : set_signal_mask(ret, &full);
}

bool has_own_mask(const pthread_attr_t *attributes) {
    sigset_t mask;
    return attributes && get_signal_mask(attributes, &mask) == 0;
}

int make_pthread(void *context, pthread_t *ret_thread, ThreadStart *start, bool held) {
    auto *attributes = static_cast<const pthread_attr_t *>(context);
    if (!held || !attributes) return real::pthread_create(ret_thread, attributes, start_pthread, start);
    if (has_own_mask(attributes)) {
        sigset_t mask;
        get_signal_mask(attributes, &mask);
        memcpy(&start->mask, &mask, sizeof start->mask);  // what the thread is to run with
        pthread_attr_t copy;
        int error = fully_masked_copy(attributes, &copy);
        if (!error) error = real::pthread_create(ret_thread, &copy, start_pthread, start);
        pthread_attr_destroy(&copy);
        return error;
    }
    // Joinable until it is decided: a stopped thread is joined. A byte copy; what it points to stays the program's.
    pthread_attr_t copy;
    memcpy(&copy, attributes, sizeof copy);
    pthread_attr_setdetachstate(&copy, PTHREAD_CREATE_JOINABLE);
    return real::pthread_create(ret_thread, &copy, start_pthread, start);
}

int errno_of_thrd(int result) { return result == thrd_success ? 0 : result == thrd_nomem ? ENOMEM : EAGAIN; }

int make_thrd(void *, pthread_t *ret_thread, ThreadStart *start, bool) {
    return errno_of_thrd(real::thrd_create(ret_thread, start_thrd, start));
}

// Joins, and tells the end of a thread that could not do it.
template <typename Join>
int join(const char *call, pthread_t thread, Join genuine) {
    if (!wanted(mask_life)) return genuine();
    const Joined joined = look_before_join(thread);
    int result = genuine();
    if (result == 0) end_joined_thread(joined, call);
    return result;
}

}  // namespace

namespace taskwatch {

int join_genuinely(pthread_t thread) { return real::pthread_join(thread, nullptr); }
int delete_key_genuinely(pthread_key_t key) { return real::pthread_key_delete(key); }

}  // namespace taskwatch

EXPORT int pthread_create(pthread_t *ret_thread, const pthread_attr_t *attributes, void *(*function)(void *),
                          void *argument) noexcept {
    Thread &thread = self();
    register_fork_handlers();
    if (thread.in_callback || !wanted(mask_life) || process.quiet)
        return real::pthread_create(ret_thread, attributes, function, argument);
    int detach = PTHREAD_CREATE_JOINABLE, saved_errno = errno;
    if (attributes) pthread_attr_getdetachstate(attributes, &detach);
    int error = create_thread(thread,
                              {.name = "pthread_create",
                               .function = reinterpret_cast<void *>(function),
                               .argument = argument,
                               .detached = detach == PTHREAD_CREATE_DETACHED,
                               .make = make_pthread,
                               .context = const_cast<pthread_attr_t *>(attributes)},
                              ret_thread);
    errno = saved_errno;
    return error;
}

EXPORT int thrd_create(thrd_t *ret_thread, thrd_start_t function, void *argument) {
    Thread &thread = self();
    register_fork_handlers();
    if (thread.in_callback || !wanted(mask_life) || process.quiet)
        return real::thrd_create(ret_thread, function, argument);
    int saved_errno = errno;
    int error = create_thread(thread,
                              {.name = "thrd_create",
                               .function = reinterpret_cast<void *>(function),
                               .argument = argument,
                               .detached = false,
                               .make = make_thrd,
                               .context = nullptr},
                              ret_thread);
    errno = saved_errno;
    return error == 0 ? thrd_success : error == ENOMEM ? thrd_nomem : thrd_error;
}

EXPORT int pthread_join(pthread_t thread, void **result) {
    return join("pthread_join", thread, [=] { return real::pthread_join(thread, result); });
}
EXPORT int pthread_tryjoin_np(pthread_t thread, void **result) noexcept {
    return join("pthread_tryjoin_np", thread, [=] { return real::pthread_tryjoin_np(thread, result); });
}
EXPORT int pthread_timedjoin_np(pthread_t thread, void **result, const struct timespec *until) {
    return join("pthread_timedjoin_np", thread, [=] { return real::pthread_timedjoin_np(thread, result, until); });
}
EXPORT int pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *until) {
    return join("pthread_clockjoin_np", thread,
                [=] { return real::pthread_clockjoin_np(thread, result, clock, until); });
}
EXPORT int thrd_join(thrd_t thread, int *result) {
    return join("thrd_join", thread, [=] { return real::thrd_join(thread, result); });
}

EXPORT int pthread_key_create(pthread_key_t *ret_key, void (*destructor)(void *)) noexcept {
    note_program_key(destructor);
    if (wanted(mask_life) && !process.quiet) watch_thread_ends();
    return real::pthread_key_create(ret_key, destructor);
}
extern "C" EXPORT_ALIAS(pthread_key_create) [[gnu::nonnull(1)]] int __pthread_key_create(pthread_key_t *,
                                                                                         void (*)(void *)) noexcept;

EXPORT int tss_create(tss_t *ret_key, tss_dtor_t destructor) {
    note_program_key(destructor);
    if (wanted(mask_life) && !process.quiet) watch_thread_ends();
    return real::tss_create(ret_key, destructor);
}

EXPORT int pthread_key_delete(pthread_key_t key) noexcept {
    // Ours: a program that deletes every number would end the telling of threads' ends.
    if (is_thread_end_key(key)) return EINVAL;
    return real::pthread_key_delete(key);
}
