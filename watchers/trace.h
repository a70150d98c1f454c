/* SPDX-License-Identifier: MIT */
/* What the trace watcher hands to its two formats. Which events are written is decided before: trace.c. */
#ifndef WATCHERS_TRACE_H
#define WATCHERS_TRACE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <taskwatch/taskwatch.h>

#include "errno_names.h"
#include "line.h"

/* In place of an event: records were lost before this one. */
#define TRACE_LOST 0UL

struct trace_record {
    const struct task_watch *task;
    unsigned long event; /* get_watch_event() or TRACE_LOST */
    unsigned long flags;
    const char *cwd; /* JSON, EXEC: NULL if it cannot be told */
    size_t limit;    /* strings are cut so that the line has at most so many bytes; 0: nothing is cut */
    bool with_argv;
    bool color;    /* text */
    uint64_t lost; /* TRACE_LOST: how many, and the errno of the last */
    int lost_error;
};

/*
 * Appends the whole line with its newline. The strings are the program's and may change under our
 * eyes: two passes over one record can differ in length. Async-signal-safe, below 300 bytes of stack.
 */
void trace_json(struct line *line, const struct trace_record *record);
void trace_text(struct line *line, const struct trace_record *record);

/*
 * Where the strings of a line have to end, so that `tail` bytes more stay within its limit. Never
 * before the line's present end, whatever the limit.
 */
static inline size_t trace_end(const struct trace_record *record, const struct line *line, size_t tail)
{
    if (record->limit == 0)
        return SIZE_MAX;
    return record->limit > line->length + tail ? record->limit - tail : line->length;
}

static inline bool trace_is_creation(unsigned long event)
{
    return event == WATCH_TASK_INIT || event == WATCH_TASK_CLONE;
}

/* A watcher said no, and that was the end of it. */
static inline bool trace_vetoed(const struct trace_record *record)
{
    if (record->event == WATCH_TASK_FREE)
        return record->task->stopped_by && record->task->error;
    if (!(record->flags & WATCH_STOPPED))
        return false;
    if (trace_is_creation(record->event))
        return !(record->task->context & TASKWATCH_NOT_HELD);
    return (record->flags & WATCH_BEFORE) && !(record->task->context & TASKWATCH_FORECAST);
}

/* The kernel or libc said no: told by the FREE of a task that never lived. */
static inline bool trace_refused(const struct trace_record *record)
{
    return record->event == WATCH_TASK_FREE && !record->task->stopped_by && record->task->error;
}

/* What a vetoed or refused call fails with: the errno the stopper packed, or what its plain value means. */
static inline int trace_errno(const struct trace_record *record)
{
    int verdict = record->task->verdict;
    int number;

    if (record->task->error)
        return record->task->error;
    number = verdict < 0 ? -verdict : -notifier_to_errno(verdict);
    return number >= 1 && number <= 4095 ? number : EAGAIN;
}

static inline void trace_errno_name(struct line *line, int number)
{
    const char *name = errno_name(number);

    if (name)
        line_text(line, name);
    else
        line_integer(line, number);
}

/* Nanoseconds since the task's CLONE or first sight, 0 if that is not known. */
static inline uint64_t trace_elapsed(const struct task_watch *task)
{
    return task->start_ns && task->boottime_ns > task->start_ns ? task->boottime_ns - task->start_ns : 0;
}

#endif /* WATCHERS_TRACE_H */
