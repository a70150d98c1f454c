/* SPDX-License-Identifier: MIT */
/*
 * What is noted while a watcher is checked: one file a scratch process, mapped by each process that it makes and each
 * image that those execute, read by taskwatch-check when they are gone. Filled in by check-first.so and
 * check-last.so, which are called before and after the watcher, and by the driver.
 */
#ifndef CHECK_RECORD_H
#define CHECK_RECORD_H

#include <stdint.h>

#ifdef __cplusplus
#include <atomic>
typedef std::atomic<uint32_t> check_count;
extern "C" {
#else
typedef _Atomic uint32_t check_count;
#endif

/* Names the file. The library keeps it in the environment of what is executed, as it keeps any other variable. */
#define CHECK_VARIABLE "TASKWATCH_CHECK_RECORD"

/* An event with what its flags make of it: what a callback may answer depends on both. */
enum check_kind {
    CHECK_INIT,
    CHECK_CLONE,
    CHECK_BEFORE_EXEC,
    CHECK_BEFORE_UID,
    CHECK_BEFORE_GID,
    CHECK_EXEC, /* from here on a STOP changes nothing */
    CHECK_UID,
    CHECK_GID,
    CHECK_FAILED_EXEC,
    CHECK_FAILED_UID,
    CHECK_FAILED_GID,
    CHECK_FORECAST_EXEC,
    CHECK_EXIT,
    CHECK_FREE,
    CHECK_KINDS,
};

enum check_call {
#define CALL(name, kind) CHECK_CALL_##name,
#include "unsafe_calls.def"
#undef CALL
    CHECK_CALLS,
};

/* Where a callback runs. The driver says it; a vfork child is known by its task. */
enum check_place {
    CHECK_MAIN,
    CHECK_THREAD,
    CHECK_VFORK,
    CHECK_HANDLER,
    CHECK_SMALL_STACK,
    CHECK_PLACES,
};

struct check_record {
    struct {
        check_count walks;
        check_count running;            /* not returned: what a process died in, or is still in */
        check_count stops;
        check_count positive;           /* the last answer that means "go on" and was hardly meant so */
        check_count calls[CHECK_CALLS]; /* of what has no place there */
    } at[CHECK_PLACES][CHECK_KINDS];
    check_count stack;    /* the most bytes that a callback used, where that was measured */
    check_count signal;   /* that ended a child of the driver's */
    check_count finished; /* the driver came to its end ... */
    check_count kept;     /* ... and a descriptor with a low number had been left open */
    /* From the watcher's descriptor, if it has one. */
    uint32_t described, version, size, events;
    int32_t priority;
    char name[32], description[128];
};

/* In check-first.so, which is preloaded: check-last.so and the driver find them by name. */
void check_enter(enum check_kind kind, int in_vfork_child);
/* `answer` is what the chain returned up to its observers. */
void check_leave(enum check_kind kind, int in_vfork_child, int answer);
struct check_record *check_the_record(void);
/* Of this thread. `lowest_of_stack` has what callbacks use of the stack measured; NULL. */
void check_set_place(enum check_place place, char *lowest_of_stack);

#ifdef __cplusplus
}
#endif

#endif
