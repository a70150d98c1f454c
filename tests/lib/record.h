/* SPDX-License-Identifier: MIT */
/*
 * What the recorder writes and the tests read: a file of fixed-size records behind a page with a counter
 * and one rule, mapped by every process of a test. tests/lib/records.py reads the same bytes.
 */
#ifndef TESTS_RECORD_H
#define TESTS_RECORD_H

#include <stdint.h>

#include <taskwatch/taskwatch.h>

#define RECORD_CAPACITY 32768

/* One callback. `call`, `stopped_by` and `path` are cut to what fits, always terminated. */
struct record {
    uint32_t complete; /* 1: all of it is written */
    uint32_t event;
    uint32_t flags;
    uint32_t context;
    int32_t pid, tgid, ppid, by;
    int32_t tid;     /* of the thread that ran the callback, asked from the kernel */
    int32_t process; /* and its process */
    int32_t exit_status;
    int32_t error;
    int32_t verdict;
    uint32_t cancellation; /* PTHREAD_CANCEL_ state during the callback */
    uint64_t id, parent_id, session;
    uint64_t clone_flags;
    uint64_t blocked;    /* signals, one bit each, signal n at bit n-1 */
    uint64_t cell_count; /* how often this watcher was called for this task, this time included; 0: no cell */
    uint64_t shared_count; /* the same over the session; 0: no shared words */
    struct task_watch_ids ids, old_ids;
    char call[24];
    char stopped_by[16];
    char path[64];
    char argv0[16];
};

/* What the recorder does besides recording, for callbacks that the rule selects. */
enum rule_action {
    RULE_NONE,
    RULE_RETURN, /* returns `value` */
    RULE_PAUSE,  /* waits until `go` is not 0 */
    RULE_KILL,   /* SIGKILLs its own process */
    RULE_FORK,   /* forks, and waits for the child, which exits at once */
    RULE_EXECUTE, /* spawns /bin/true and waits for it */
    RULE_UNREGISTER, /* takes its own block out */
    RULE_CRASH, /* writes where no memory is */
};

/* Written by the recorder's options and by tests; a test that changes it knows that nobody is in a callback. */
struct rule {
    uint32_t action;
    uint32_t events;  /* WATCH_MASK_ bits */
    int32_t value;
    uint32_t first;   /* acts on the matches first .. last, counted from 1 */
    uint32_t last;
    uint32_t matched; /* so far */
    char call[24];    /* "": any */
};

struct recording {
    uint32_t count; /* of records, written ones and beyond capacity */
    uint32_t record_size;
    uint32_t configured; /* the options have set the rule: later images leave it alone */
    uint32_t paused;     /* callbacks that came to RULE_PAUSE */
    uint32_t go;
    int32_t answer; /* what the rule's own call returned */
    struct rule rule;
    char padding[4096 - 6 * 4 - sizeof(struct rule)];
    struct record records[RECORD_CAPACITY];
};

#endif
