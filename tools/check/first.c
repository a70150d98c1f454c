/* SPDX-License-Identifier: MIT */
/*
 * check-first.so: preloaded into the scratch process for the functions of unsafe_calls.def, and the first watcher of its
 * chain. From here until check-last.so is called it is the checked watcher that runs, so what is called then is
 * what it calls: the library itself calls none of these inside a walk.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <taskwatch/taskwatch.h>
#include <unistd.h>

#include "event_kind.h"
#include "record.h"

#define EXPORT __attribute__((visibility("default")))

#define OF_THREAD __thread __attribute__((tls_model("initial-exec")))

/* kind + 1 while the watcher runs in this thread. A vfork child shares it with its parent, which is suspended. */
static OF_THREAD unsigned int inside;
static OF_THREAD enum check_place inside_place;
static OF_THREAD enum check_place place_of_thread;
static OF_THREAD char *lowest_of_stack, *entered_at;

static struct check_record nowhere;
static struct check_record *record = &nowhere;

typedef void (*function)(void);
extern function check_genuine[CHECK_CALLS];
function check_note(unsigned int call, const char *second);

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), __libc_free(void *);

static const char *const names[] = {
#define CALL(name, kind) #name,
#include "unsafe_calls.def"
#undef CALL
};

/* dlsym is among the functions: the genuine one by its version. ISO C has no cast from an object's address. */
static function find(const char *name)
{
    static void *(*genuine_dlsym)(void *, const char *);
    void *found;
    function result;

    if (!genuine_dlsym) {
        found = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
        memcpy(&genuine_dlsym, &found, sizeof found);
    }
    found = genuine_dlsym(RTLD_NEXT, name);
    memcpy(&result, &found, sizeof found);
    return result;
}

static function find_call(unsigned int call)
{
    switch (call) { /* what dlvsym itself may call */
    case CHECK_CALL_malloc: return (function)__libc_malloc;
    case CHECK_CALL_calloc: return (function)__libc_calloc;
    case CHECK_CALL_realloc: return (function)__libc_realloc;
    case CHECK_CALL_free: return (function)__libc_free;
    case CHECK_CALL_memalign: return (function)__libc_memalign;
    default: return find(names[call]);
    }
}

/*
 * The chain makes nothing of what an observer answers, so nobody behind it sees that. The library is given a descriptor
 * whose callbacks are ours, which look at the answer.
 */
static const struct taskwatch_watcher *observer; /* NULL: the checked one is none */
static struct taskwatch_watcher instead_of_observer;
static OF_THREAD int answer_of_observer;

static int observe(struct notifier_block *nb, unsigned long action, void *data)
{
    return answer_of_observer = observer->notify(nb, action, data);
}

static const char *init_observer(struct notifier_block *nb, char *options)
{
    const char *refusal = observer->init(nb, options);

    instead_of_observer.events = observer->events; /* init may change them */
    return refusal;
}

static void *descriptor_for_library(void *handle, const char *name)
{
    void *(*genuine)(void *, const char *);
    const struct taskwatch_watcher *found;

    memcpy(&genuine, &check_genuine[CHECK_CALL_dlsym], sizeof genuine);
    found = genuine(handle, name);
    if (!found || found->abi_version != TASKWATCH_ABI_VERSION || found->size != sizeof *found ||
        found->priority != WATCH_PRIORITY_OBSERVER || !found->notify || strncmp(found->name, "check-", 6) == 0)
        return (void *)found;
    observer = found;
    instead_of_observer = *found;
    instead_of_observer.notify = observe;
    if (found->init)
        instead_of_observer.init = init_observer;
    return &instead_of_observer;
}

/* Called by each stub, with the second argument of what it stands for: notes the call, returns where it goes. */
function check_note(unsigned int call, const char *second)
{
    if (inside)
        record->at[inside_place][inside - 1].calls[call]++;
    if (!check_genuine[call])
        check_genuine[call] = find_call(call);
    if (call == CHECK_CALL_dlsym && strcmp(second, "taskwatch_watcher") == 0)
        return (function)descriptor_for_library;
    return check_genuine[call];
}

#define PAINT 0xa5
#define OWN_FRAMES 512 /* not painted: what this function and its callees use themselves */

__attribute__((noinline)) static void paint(char *from, char *to)
{
    for (volatile char *byte = from; byte < to; byte++)
        *byte = (char)PAINT;
}

EXPORT void check_enter(enum check_kind kind, int in_vfork_child)
{
    inside_place = in_vfork_child ? CHECK_VFORK : place_of_thread;
    record->at[inside_place][kind].walks++;
    record->at[inside_place][kind].running++;
    if (lowest_of_stack) {
        entered_at = __builtin_frame_address(0);
        paint(lowest_of_stack, entered_at - OWN_FRAMES);
    }
    answer_of_observer = NOTIFY_DONE;
    inside = kind + 1;
}

static void measure_stack(void)
{
    char *lowest = lowest_of_stack;

    while (lowest < entered_at && *(unsigned char *)lowest == PAINT)
        lowest++;
    if ((uint32_t)(entered_at - lowest) > record->stack)
        record->stack = (uint32_t)(entered_at - lowest);
}

EXPORT void check_leave(enum check_kind kind, int in_vfork_child, int answer)
{
    enum check_place place = in_vfork_child ? CHECK_VFORK : place_of_thread;

    inside = 0;
    if (observer)
        answer = answer_of_observer;
    record->at[place][kind].running--;
    if (answer & NOTIFY_STOP_MASK)
        record->at[place][kind].stops++;
    else if (answer != NOTIFY_DONE && answer != NOTIFY_OK)
        record->at[place][kind].positive = (uint32_t)answer;
    if (lowest_of_stack && entered_at)
        measure_stack();
}

EXPORT struct check_record *check_the_record(void)
{
    return record;
}

EXPORT void check_set_place(enum check_place place, char *lowest)
{
    place_of_thread = place;
    lowest_of_stack = lowest;
}

__attribute__((constructor)) static void open_record(void)
{
    const char *path = getenv(CHECK_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory;

    if (fd < 0)
        return;
    memory = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        record = memory;
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;

    (void)nb;
    check_enter(check_kind_of(action, task), task->context & TASKWATCH_IN_VFORK_CHILD);
    return NOTIFY_DONE;
}

EXPORT const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "check-first",
    .description = "part of taskwatch --check",
    .events = WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED,
    .priority = INT_MAX,
    .notify = notify,
};
