/* SPDX-License-Identifier: MIT */
/*
 * What the journal watcher writes: a file of small records behind a page, mapped by every process of a session. The
 * stress program, the killer and stress.py read the same bytes.
 */
#ifndef TESTS_STRESS_JOURNAL_H
#define TESTS_STRESS_JOURNAL_H

#include <stdint.h>

/* One callback. A record that is not complete is one that a signal cut off. */
struct entry {
    uint32_t state; /* ENTRY_ */
    uint32_t event;
    uint32_t flags;
    int32_t pid, tgid;
    int32_t process; /* that runs the callback, asked from the kernel */
    int32_t status;
    int32_t error;
    uint64_t id;
    uint64_t boottime_ns;
    uint32_t cell; /* how often this watcher was called for this task, this time included; 0: no cell */
    uint32_t context;
    uint64_t unused;
};

enum { ENTRY_NONE, ENTRY_BEGUN, ENTRY_COMPLETE };

/* An `event` of the stress program's own: a wait function has returned `pid` with `status`. */
enum { ENTRY_WAITED = 0x100 };

struct journal {
    uint32_t capacity; /* of entries, set by who makes the file */
    uint32_t count;    /* taken entries, beyond capacity too */
    /* The stress program's and its killer's. */
    int32_t root;       /* pid of the stress program's first process, when it has begun; kill()'s guard is its session */
    uint32_t born;      /* tasks made so far, by the stress program's own count */
    uint32_t over;      /* nothing is to be killed any more */
    char padding[4096 - 5 * 4];
    struct entry entries[];
};

#endif
