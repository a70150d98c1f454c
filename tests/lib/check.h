/* SPDX-License-Identifier: MIT */
/*
 * For the programs in tests/calls: checks, and what the recorder has seen. A check that fails prints one
 * line and ends the process with 99. The functions that read records are for programs under preload only.
 */
#ifndef TESTS_CHECK_H
#define TESTS_CHECK_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

#define CHECK_FAILED 99

#define CHECK(condition)                            \
    do {                                            \
        if (!(condition))                           \
            check_failed(__FILE__, __LINE__, #condition, NULL, NULL); \
    } while (0)
#define CHECK_EQUAL(seen, expected) check_equal(__FILE__, __LINE__, #seen, (long)(seen), (long)(expected))
#define CHECK_TEXT(seen, expected) check_text(__FILE__, __LINE__, #seen, (seen), (expected))

/* With write(2) alone: also for signal handlers and vfork children. */
static inline void check_failed(const char *file, int line, const char *what, const char *seen, const char *expected)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "%s:%d: %s", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, what);

    if (seen && n < (int)sizeof text)
        n += snprintf(text + n, sizeof text - (size_t)n, "\n  seen:     %s\n  expected: %s", seen, expected);
    if (n > (int)sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    if (write(STDERR_FILENO, text, (size_t)n) != n)
        abort();
    _exit(CHECK_FAILED);
}

static inline void check_equal(const char *file, int line, const char *what, long seen, long expected)
{
    char text[2][64];

    if (seen == expected)
        return;
    snprintf(text[0], sizeof text[0], "%ld (0x%lx)", seen, (unsigned long)seen);
    snprintf(text[1], sizeof text[1], "%ld (0x%lx)", expected, (unsigned long)expected);
    check_failed(file, line, what, text[0], text[1]);
}

static inline void check_text(const char *file, int line, const char *what, const char *seen, const char *expected)
{
    if (strcmp(seen, expected) != 0)
        check_failed(file, line, what, seen, expected);
}

/* --- processes */

/* Raw wait status of a child, which is gone then. */
#define status_of(child) check_status_of(__FILE__, __LINE__, (child))
static inline int check_status_of(const char *file, int line, pid_t child)
{
    int status = -1;
    pid_t pid;

    do
        pid = waitpid(child, &status, 0);
    while (pid < 0 && errno == EINTR);
    check_equal(file, line, "waitpid()", pid, child);
    return status;
}

static inline int exited(int code)
{
    return (code & 0xff) << 8;
}

static inline void no_children_left(void)
{
    CHECK_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQUAL(errno, ECHILD);
}

/* Waits for one byte, or for the end of all writers: then 0 is returned. */
static inline char await_byte(int fd)
{
    char byte = 0;

    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
    return byte;
}

static inline void send_byte(int fd, char byte)
{
    CHECK_EQUAL(write(fd, &byte, 1), 1);
}

static inline const char *test_file(const char *name)
{
    static char path[2][4096];
    static int turn;
    const char *folder = getenv("TEST_FOLDER");

    CHECK(folder != NULL);
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* --- records */

static inline struct recording *recording_of(const char *recorder)
{
    static struct recording *known[3];
    static char names[3][16];
    int fd, i = 0;
    void *memory;

    while (i < 2 && names[i][0] && strcmp(names[i], recorder) != 0)
        i++;
    if (known[i])
        return known[i];
    fd = open(test_file(recorder), O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    memory = mmap(NULL, sizeof(struct recording), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(memory != MAP_FAILED);
    close(fd);
    snprintf(names[i], sizeof names[i], "%s", recorder);
    known[i] = memory;
    return memory;
}

static inline struct recording *recording(void)
{
    return recording_of("recorder");
}

static inline uint32_t events_so_far(void)
{
    return __atomic_load_n(&recording()->count, __ATOMIC_ACQUIRE);
}

static inline const struct record *event_number(uint32_t number)
{
    CHECK(number < events_so_far());
    return &recording()->records[number];
}

/* "exit+behalf" */
static inline void append_event(char *text, size_t size, const struct record *r)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } events[] = {{WATCH_TASK_INIT, "init"}, {WATCH_TASK_CLONE, "clone"}, {WATCH_TASK_EXEC, "exec"},
                  {WATCH_TASK_UID, "uid"},   {WATCH_TASK_GID, "gid"},     {WATCH_TASK_EXIT, "exit"},
                  {WATCH_TASK_FREE, "free"}},
      flags[] = {{WATCH_ON_BEHALF, "+behalf"},   {WATCH_AGAIN, "+again"},     {WATCH_ADOPTED, "+adopted"},
                 {WATCH_UNCHANGED, "+unchanged"}, {WATCH_STOPPED, "+stopped"}, {WATCH_BEFORE, "+before"},
                 {WATCH_FAILED, "+failed"},      {WATCH_STATUS_UNKNOWN, "+unknown"}};
    size_t n = strlen(text);

    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i].bit == r->event)
            n += (size_t)snprintf(text + n, size - n, "%s%s", n ? " " : "", events[i].name);
    for (size_t i = 0; i < sizeof flags / sizeof *flags && n < size; i++)
        if (flags[i].bit & r->flags)
            n += (size_t)snprintf(text + n, size - n, "%s", flags[i].name);
}

/* Everything since `mark` (events_so_far()), whatever task it is about. */
#define EXPECT_SINCE(mark, sequence) expect_since(__FILE__, __LINE__, (mark), (sequence))
static inline void expect_since(const char *file, int line, uint32_t mark, const char *sequence)
{
    char text[4000] = "";
    uint32_t count = events_so_far();

    for (uint32_t i = mark; i < count; i++)
        append_event(text, sizeof text, &recording()->records[i]);
    check_text(file, line, "events since", text, sequence);
}

static inline uint64_t newest_id_of(pid_t pid)
{
    for (uint32_t i = events_so_far(); i > 0; i--)
        if (recording()->records[i - 1].pid == pid)
            return recording()->records[i - 1].id;
    return 0;
}

/* Everything about the newest task with this pid, INIT included, as a recorder has seen it. */
#define EXPECT_TASK(pid, sequence) expect_task(__FILE__, __LINE__, "recorder", (pid), (sequence))
#define EXPECT_TASK_OF(recorder, pid, sequence) expect_task(__FILE__, __LINE__, (recorder), (pid), (sequence))
static inline void expect_task(const char *file, int line, const char *recorder, pid_t pid, const char *sequence)
{
    char text[4000] = "", what[64];
    uint64_t id = newest_id_of(pid);
    const struct recording *seen = recording_of(recorder);
    uint32_t count = __atomic_load_n(&seen->count, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; id && i < count; i++)
        if (seen->records[i].id == id)
            append_event(text, sizeof text, &seen->records[i]);
    snprintf(what, sizeof what, "events of a task, by %s", recorder);
    check_text(file, line, what, text, sequence);
}

/* The newest event of this kind about the newest task with this pid. */
static inline const struct record *last_of(pid_t pid, uint32_t event)
{
    uint64_t id = newest_id_of(pid);

    for (uint32_t i = events_so_far(); i > 0; i--)
        if (recording()->records[i - 1].id == id && recording()->records[i - 1].event == event)
            return &recording()->records[i - 1];
    check_failed(__FILE__, __LINE__, "no such event", NULL, NULL);
    return NULL;
}

/* --- what the recorder does from now on */

static inline void set_rule_of(const char *recorder, uint32_t action, uint32_t events, int value)
{
    recording_of(recorder)->rule =
        (struct rule){.action = action, .events = events, .value = value, .first = 1, .last = UINT32_MAX};
}

/* Only in the next callback that it selects. */
static inline void set_rule_once_of(const char *recorder, uint32_t action, uint32_t events)
{
    set_rule_of(recorder, action, events, 0);
    recording_of(recorder)->rule.last = 1;
}

static inline void stop_at(uint32_t events, int value)
{
    set_rule_of("recorder", RULE_RETURN, events, value);
}

static inline void stop_nothing(void)
{
    set_rule_of("recorder", RULE_NONE, 0, 0);
}

/* The next callback of these events of this call waits. await_pause() returns when it does, let_go() ends it. */
static inline void pause_next(uint32_t events, const char *call)
{
    recording()->go = recording()->paused = 0;
    set_rule_of("recorder", RULE_PAUSE, events, 0);
    recording()->rule.last = 1;
    snprintf(recording()->rule.call, sizeof recording()->rule.call, "%s", call);
}

static inline void await_pause(void)
{
    while (__atomic_load_n(&recording()->paused, __ATOMIC_SEQ_CST) == 0)
        syscall(SYS_futex, &recording()->paused, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static inline void let_go(void)
{
    __atomic_store_n(&recording()->go, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &recording()->go, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Waits for another process to write an event of this kind: for what nobody can wait for by waitpid(). */
static inline void await_event(pid_t pid, uint32_t event)
{
    struct timespec nap = {0, 1000000};

    for (;; nanosleep(&nap, NULL))
        for (uint32_t i = events_so_far(); i > 0; i--)
            if (recording()->records[i - 1].pid == pid && recording()->records[i - 1].event == event &&
                __atomic_load_n(&recording()->records[i - 1].complete, __ATOMIC_ACQUIRE))
                return;
}

#endif
