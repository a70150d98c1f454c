/* SPDX-License-Identifier: MIT */
/*
 * The trace for people, in strace's manner: one line an event, the pid in front. Control characters
 * and bytes that are not UTF-8 are escaped, so that a program's arguments cannot draw on the terminal.
 */
#include <signal.h>

#include "trace.h"
#include "utf8.h"

#define NAME(signal) [signal] = #signal
static const char signal_names[][10] = {
    NAME(SIGHUP),  NAME(SIGINT),    NAME(SIGQUIT),  NAME(SIGILL),  NAME(SIGTRAP), NAME(SIGABRT),
    NAME(SIGBUS),  NAME(SIGFPE),    NAME(SIGKILL),  NAME(SIGUSR1), NAME(SIGSEGV), NAME(SIGUSR2),
    NAME(SIGPIPE), NAME(SIGALRM),   NAME(SIGTERM),  NAME(SIGCHLD), NAME(SIGCONT), NAME(SIGSTOP),
    NAME(SIGTSTP), NAME(SIGTTIN),   NAME(SIGTTOU),  NAME(SIGURG),  NAME(SIGXCPU), NAME(SIGXFSZ),
    NAME(SIGPROF), NAME(SIGVTALRM), NAME(SIGWINCH), NAME(SIGIO),   NAME(SIGPWR),  NAME(SIGSYS),
};
#undef NAME

/* Room that a line with a limit keeps for what follows its strings: the result, who stopped it, colours. */
#define TAIL 100

static const char bold[] = "\033[1m", red[] = "\033[31m", plain[] = "\033[0m";

static void signal_name(struct line *line, int signal)
{
    if ((size_t)signal < sizeof signal_names / sizeof signal_names[0] && signal_names[signal][0]) {
        line_text(line, signal_names[signal]);
    } else {
        line_text(line, "signal ");
        line_integer(line, signal);
    }
}

/* Returns false if it was cut; nothing is written beyond `end`. */
static bool escaped(struct line *line, const char *text, bool quotes, size_t end)
{
    static const char shorts[] = "f\fn\nr\rt\t\"\"\\\\";
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        size_t length = utf8_length(s);
        size_t room = end > line->length ? end - line->length : 0;
        bool control = *s < 0x20 || *s == 0x7f || (length == 2 && s[0] == 0xc2 && s[1] < 0xa0);

        if (room < 4)
            return false;
        if (length > 0 && !control && !(quotes && *s == '"') && *s != '\\') {
            line_bytes(line, (const char *)s, length);
            s += length;
        } else {
            const char *pair = shorts;

            while (*pair && (unsigned char)pair[1] != *s)
                pair += 2;
            line_char(line, '\\');
            if (*pair) {
                line_char(line, *pair);
            } else {
                line_char(line, 'x');
                line_hex(line, *s, 2);
            }
            s++;
        }
    }
    return true;
}

static void path_and_arguments(struct line *line, const struct trace_record *record)
{
    const struct task_watch *task = record->task;
    char *const *argv = record->with_argv ? task->argv : NULL;
    size_t end = trace_end(record, line, TAIL);
    size_t path_end = end < SIZE_MAX ? line->length + (end - line->length) / 2 : SIZE_MAX;

    if (!escaped(line, task->path ? task->path : "?", false, path_end))
        line_text(line, "...");
    if (argv) {
        bool whole = true;

        line_text(line, " [");
        for (size_t i = 0; argv[i] && whole; i++) {
            if (i)
                line_text(line, ", ");
            line_char(line, '"');
            whole = escaped(line, argv[i], true, end);
            line_text(line, whole ? "\"" : "\"...");
        }
        line_char(line, ']');
    }
}

static void result(struct line *line, const struct trace_record *record)
{
    line_text(line, " = -1 ");
    trace_errno_name(line, trace_errno(record));
    if (trace_vetoed(record)) {
        line_text(line, " (stopped by ");
        line_text(line, record->task->stopped_by ? record->task->stopped_by : "a watcher");
        line_char(line, ')');
    }
}

static void exec(struct line *line, const struct trace_record *record)
{
    line_text(line, "exec ");
    path_and_arguments(line, record);
    if (trace_vetoed(record) || (record->flags & WATCH_FAILED))
        result(line, record);
    else if (record->task->context & TASKWATCH_FORECAST)
        line_text(line, " (will not be watched)");
    else if (record->flags & WATCH_BEFORE)
        line_text(line, " ...");
}

static void id(struct line *line, const char *name, uid_t old, uid_t now, const char *after)
{
    line_text(line, name);
    line_number(line, old);
    if (old != now) {
        line_text(line, " -> ");
        line_number(line, now);
    }
    line_text(line, after);
}

static void ids(struct line *line, const struct trace_record *record)
{
    const struct task_watch_ids *old = &record->task->old_ids, *now = &record->task->ids;
    bool user = record->event == WATCH_TASK_UID;

    line_text(line, record->task->call);
    line_text(line, "()");
    if (trace_vetoed(record) || (record->flags & WATCH_FAILED)) {
        result(line, record);
        return;
    }
    line_text(line, record->flags & WATCH_BEFORE ? " ... (" : " = 0 (");
    id(line, user ? "uid " : "gid ", old->real, now->real, ", ");
    id(line, user ? "euid " : "egid ", old->effective, now->effective, ", ");
    id(line, user ? "suid " : "sgid ", old->saved, now->saved, ", ");
    id(line, user ? "fsuid " : "fsgid ", old->filesystem, now->filesystem, ")");
}

static void end_of_task(struct line *line, const struct trace_record *record)
{
    int status = record->task->exit_status;
    uint64_t milliseconds = trace_elapsed(record->task) / 1000000;

    if (record->flags & WATCH_STATUS_UNKNOWN) {
        line_text(line, "+++ ended, status unknown");
    } else if (status & 0x7f) {
        line_text(line, "+++ killed by ");
        signal_name(line, status & 0x7f);
        if (status & 0x80)
            line_text(line, " (core dumped)");
    } else {
        line_text(line, "+++ exited with ");
        line_integer(line, status >> 8 & 0xff);
    }
    line_text(line, " (");
    line_number(line, milliseconds / 1000);
    line_char(line, '.');
    for (uint64_t unit = 100, rest = milliseconds % 1000; unit; rest %= unit, unit /= 10)
        line_char(line, (char)('0' + rest / unit));
    line_text(line, " s) +++");
}

/* INIT, CLONE and the FREE of what never lived: one outcome, `call() = -1 ERRNO`. */
static void creation(struct line *line, const struct trace_record *record)
{
    const char *call = record->task->call;

    if (trace_vetoed(record) || trace_refused(record)) {
        line_text(line, call);
        line_text(line, "()");
        result(line, record);
        return;
    }
    line_text(line, record->event == WATCH_TASK_INIT ? "init(" : "clone(");
    line_text(line, call);
    line_char(line, ')');
    if (record->event == WATCH_TASK_CLONE) {
        line_text(line, " = ");
        line_integer(line, record->task->pid);
    }
}

static const char *color_of(const struct trace_record *record)
{
    if (trace_vetoed(record) || trace_refused(record) || record->event == TRACE_LOST)
        return red;
    if (record->event == WATCH_TASK_EXIT &&
        (record->task->exit_status || (record->flags & WATCH_STATUS_UNKNOWN)))
        return red;
    return record->event == WATCH_TASK_EXEC ? bold : "";
}

void trace_text(struct line *line, const struct trace_record *record)
{
    const struct task_watch *task = record->task;
    bool by_creator = trace_is_creation(record->event) || trace_vetoed(record) || trace_refused(record);
    const char *color = record->color ? color_of(record) : "";

    line_text(line, "[pid ");
    line_integer(line, by_creator ? task->by : task->pid);
    line_text(line, "] ");
    line_text(line, color);
    switch (record->event) {
    case WATCH_TASK_INIT:
    case WATCH_TASK_CLONE:
        creation(line, record);
        break;
    case WATCH_TASK_EXEC:
        exec(line, record);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        ids(line, record);
        break;
    case WATCH_TASK_EXIT:
        end_of_task(line, record);
        break;
    case WATCH_TASK_FREE:
        if (trace_vetoed(record) || trace_refused(record))
            creation(line, record);
        else
            line_text(line, "free");
        break;
    default:
        line_text(line, "--- ");
        line_number(line, record->lost);
        line_text(line, " records lost (");
        trace_errno_name(line, record->lost_error);
        line_text(line, ") ---");
        break;
    }
    if (*color)
        line_text(line, plain);
    line_char(line, '\n');
}
