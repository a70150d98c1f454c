/* SPDX-License-Identifier: MIT */
/*
 * trace: writes each event as a line, for people or as JSON.
 *
 *   format=text|json     text
 *   output=PATH|-        the session's standard error; absolute path, %p is the writing process's id, %% a
 *                        percent sign; - is standard output
 *   events=LIST          init,clone,exec,uid,gid,exit,free, process (clone, exec, exit), all, none;
 *                        text: process,uid,gid; json: all
 *   argv=0|1             arguments of EXEC: 1
 *   threads=0|1          tasks that are threads: text 0, json 1
 *   color=auto|always|never
 *
 * An observer: it sees what others stopped, and stops nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

#include <taskwatch/taskwatch.h>

#include "errno_names.h"
#include "json.h"
#include "line.h"
#include "output.h"
#include "raw.h"
#include "start_page.h"
#include "utf8.h"

/* Pipes keep lines apart up to so many bytes, PIPE_BUF of pipe(7). */
#define STREAM_LINE_MAX 4096
/* Lines up to this length are made on the stack: all but those of EXEC in JSON, which have a folder too. */
#define SHORT_LINE 448
#define FOLDER_MAX 4096
#define SCRATCH (FOLDER_MAX + STREAM_LINE_MAX)
/* A new image's line behind its folder, on the stack, where the dynamic linker has been before. Longer ones in `scratch`. */
#define IMAGE_LINE 1152
#define IMAGE_FOLDER_MAX 512
#define PATH_EXPANDED_MAX (OUTPUT_PATH_MAX + 100)
#define PATH_SHORT_MAX 119

/* What each process touches. Nothing is written at an event that has not changed: after a fork that would be a page more to copy. */
static START_PAGE struct {
    unsigned events; /* WATCH_MASK_ bits */
    bool json, argv, threads, color;
    bool per_process; /* output has %p */
    atomic_bool scratch_taken;
    atomic_bool said_alone;
    const struct notifier_block *block;
    _Atomic uint64_t told;    /* of the lost records, where there is no session */
    _Atomic uint64_t session; /* for fini, which is given no record */
    _Atomic pid_t output_owner;
    atomic_uint current;
    struct taskwatch_sink first;
    char path[PATH_SHORT_MAX + 1];
} own;

/* What few of them touch. */
static struct {
    char pattern[OUTPUT_PATH_MAX + 1];
    char first_path[PATH_EXPANDED_MAX];
    /*
     * So that a forked child with %p can name its own file while another thread of it still reads the name that it
     * got from its parent.
     */
    struct taskwatch_sink second;
    char second_path[PATH_EXPANDED_MAX];
    char scratch[SCRATCH];
} rare;

/* --- what is told */

/* In place of an event: records were lost before this one; there is no session, so this process works alone. */
#define RECORDS_LOST 0UL
#define NO_SESSION 0xFFFDUL

static const struct kind {
    uint16_t event;
    uint16_t mask;
    char name[8];
} kinds[] = {
    {WATCH_TASK_INIT, WATCH_MASK_INIT, "init"}, {WATCH_TASK_CLONE, WATCH_MASK_CLONE, "clone"},
    {WATCH_TASK_EXEC, WATCH_MASK_EXEC, "exec"}, {WATCH_TASK_UID, WATCH_MASK_UID, "uid"},
    {WATCH_TASK_GID, WATCH_MASK_GID, "gid"},    {WATCH_TASK_EXIT, WATCH_MASK_EXIT, "exit"},
    {WATCH_TASK_FREE, WATCH_MASK_FREE, "free"}, {NO_SESSION, 0, "alone"},
    {RECORDS_LOST, 0, "lost"},
};

static const struct kind *kind_of(unsigned long event)
{
    const struct kind *kind = kinds;

    while (kind->event != event && kind->event != RECORDS_LOST)
        kind++;
    return kind;
}

struct record {
    const struct task_watch *task;
    unsigned long event; /* get_watch_event(), RECORDS_LOST or NO_SESSION */
    unsigned long flags;
    const char *cwd; /* JSON, EXEC: NULL if it cannot be told */
    size_t limit;    /* strings are cut so that the line has at most so many bytes; 0: nothing is cut */
    uint64_t lost;   /* RECORDS_LOST: how many, and the errno of the last */
    int lost_error;
};

/*
 * Where the strings of a line have to end, so that `tail` bytes more stay within its limit. Never
 * before the line's present end, whatever the limit.
 */
static size_t end_of_strings(const struct record *record, const struct line *line, size_t tail)
{
    if (record->limit == 0)
        return SIZE_MAX;
    return record->limit > line->length + tail ? record->limit - tail : line->length;
}

static bool is_creation(unsigned long event)
{
    return event == WATCH_TASK_INIT || event == WATCH_TASK_CLONE;
}

/* A watcher said no, and that was the end of it. */
static bool is_vetoed(const struct record *record)
{
    if (record->event == WATCH_TASK_FREE)
        return record->task->stopped_by && record->task->error;
    if (!(record->flags & WATCH_STOPPED))
        return false;
    if (is_creation(record->event))
        return !(record->task->context & TASKWATCH_NOT_HELD);
    return (record->flags & WATCH_BEFORE) && !(record->task->context & TASKWATCH_FORECAST);
}

/* The kernel or libc said no: told by the FREE of a task that never lived. */
static bool is_refused(const struct record *record)
{
    return record->event == WATCH_TASK_FREE && !record->task->stopped_by && record->task->error;
}

/* What a vetoed or refused call fails with: the errno the stopper packed, or what its plain value means. */
static int errno_of(const struct record *record)
{
    int verdict = record->task->verdict;
    int number;

    if (record->task->error)
        return record->task->error;
    number = verdict < 0 ? -verdict : -notifier_to_errno(verdict);
    return number >= 1 && number <= 4095 ? number : EAGAIN;
}

static void line_errno(struct line *line, int number)
{
    const char *name = errno_name(number);

    if (name)
        line_text(line, name);
    else
        line_integer(line, number);
}

/* Nanoseconds since the task's CLONE or first sight, 0 if that is not known. */
static uint64_t elapsed(const struct task_watch *task)
{
    return task->start_ns && task->boottime_ns > task->start_ns ? task->boottime_ns - task->start_ns : 0;
}

/*
 * --- a line of JSON
 *
 * The trace record, version 1: one object. Keys keep their meaning within a version, new ones may be added, zero
 * values are printed, and nothing is cut or altered without saying so in "truncated" and "encoded".
 */

/* Strings of a record that can be long or hold any bytes. */
enum { FIELD_PATH = 1, FIELD_ARGV = 2, FIELD_CWD = 4 };

static bool json_string_or_null(struct line *line, const char *text, bool encode, size_t end)
{
    if (text)
        return json_string(line, text, encode, end);
    line_text(line, "null");
    return true;
}

static void json_error_name(struct line *line, const char *key, int error)
{
    line_text(line, key);
    line_char(line, '"');
    line_errno(line, error);
    line_char(line, '"');
}

static bool json_vector_is_utf8(char *const *vector)
{
    for (; *vector; vector++)
        if (!utf8_is(*vector))
            return false;
    return true;
}

/* Returns false if it was cut. */
static bool json_vector(struct line *line, char *const *vector, bool encode, size_t end)
{
    bool whole = true;

    line_char(line, '[');
    for (size_t i = 0; vector[i] && whole; i++) {
        if (end < SIZE_MAX && line->length + 8 > end) {
            whole = false;
            break;
        }
        if (i)
            line_char(line, ',');
        whole = json_string(line, vector[i], encode, end);
    }
    line_char(line, ']');
    return whole;
}

static void json_verdict(struct line *line, const struct record *record)
{
    if (is_vetoed(record)) {
        line_text(line, ",\"vetoed\":true");
        json_text(line, ",\"by_watcher\":", record->task->stopped_by ? record->task->stopped_by : "");
        json_error_name(line, ",\"errno\":", errno_of(record));
    } else if (is_refused(record)) {
        json_error_name(line, ",\"refused\":", record->task->error);
    }
    if (record->flags & WATCH_ON_BEHALF)
        line_text(line, ",\"on_behalf\":true");
    if (record->flags & WATCH_BEFORE)
        line_text(line, ",\"before\":true");
    if (record->flags & WATCH_FAILED)
        json_error_name(line, ",\"failed\":", record->task->error);
    if (record->flags & WATCH_AGAIN)
        line_text(line, ",\"again\":true");
    if (record->flags & WATCH_ADOPTED)
        line_text(line, ",\"adopted\":true");
}

static void json_fields(struct line *line, const char *key, unsigned set)
{
    static const char names[3][5] = {"path", "argv", "cwd"};
    const char *before = "";

    if (set == 0)
        return;
    line_text(line, key);
    for (unsigned i = 0; i < 3; i++) {
        if (!(set & 1u << i))
            continue;
        line_text(line, before);
        json_text(line, "", names[i]);
        before = ",";
    }
    line_char(line, ']');
}

/* What follows the strings, cut or not. */
static void json_tail(struct line *line, const struct record *record, unsigned cut, unsigned encoded)
{
    json_verdict(line, record);
    json_fields(line, ",\"truncated\":[", cut);
    json_fields(line, ",\"encoded\":[", encoded);
    line_text(line, "}\n");
}

static unsigned json_fields_to_encode(const struct record *record, char *const *argv)
{
    unsigned encode = 0;

    if (record->task->path && !utf8_is(record->task->path))
        encode |= FIELD_PATH;
    if (argv && !json_vector_is_utf8(argv))
        encode |= FIELD_ARGV;
    if (record->cwd && !utf8_is(record->cwd))
        encode |= FIELD_CWD;
    return encode;
}

/* The strings of EXEC. Returns the FIELD_ bits that were encoded; sets those that were cut. */
static unsigned json_image(struct line *line, const struct record *record, unsigned *cut)
{
    const struct task_watch *task = record->task;
    char *const *argv = own.argv ? task->argv : NULL;
    unsigned encoded = json_fields_to_encode(record, argv);
    struct line rest = {NULL, 0, 0}, folder = {NULL, 0, 0}; /* counted, not written */
    size_t end, path_end = SIZE_MAX, argv_end = SIZE_MAX;

    line_text(&rest, ",\"path\":,\"argv\":,\"cwd\":null");
    json_tail(&rest, record, FIELD_PATH | FIELD_ARGV | FIELD_CWD, encoded);
    end = end_of_strings(record, line, rest.length);
    if (end <
        SIZE_MAX) { /* half for the path, a quarter for the folder, and to the arguments what those leave */
        size_t room = end - line->length;

        json_string_or_null(&folder, record->cwd, encoded & FIELD_CWD, SIZE_MAX);
        path_end = line->length + room / 2;
        argv_end = end - 16 - (folder.length < room / 4 ? folder.length : room / 4); /* 16: `"],"cwd":` */
    }
    line_text(line, ",\"path\":");
    if (!json_string_or_null(line, task->path, encoded & FIELD_PATH, path_end))
        *cut |= FIELD_PATH;
    if (own.argv) {
        line_text(line, ",\"argv\":");
        if (!argv)
            line_text(line, "null");
        else if (!json_vector(line, argv, encoded & FIELD_ARGV, argv_end))
            *cut |= FIELD_ARGV;
    }
    line_text(line, ",\"cwd\":");
    if (!json_string_or_null(line, record->cwd, encoded & FIELD_CWD, end))
        *cut |= FIELD_CWD;
    return encoded;
}

static void json_ids(struct line *line, const struct record *record)
{
    const struct task_watch_ids *now = &record->task->ids, *old = &record->task->old_ids;
    bool user = record->event == WATCH_TASK_UID;

    json_text(line, ",\"call\":", record->task->call);
    json_number(line, user ? ",\"uid\":" : ",\"gid\":", now->real);
    json_number(line, user ? ",\"euid\":" : ",\"egid\":", now->effective);
    json_number(line, user ? ",\"suid\":" : ",\"sgid\":", now->saved);
    json_number(line, user ? ",\"fsuid\":" : ",\"fsgid\":", now->filesystem);
    json_number(line, ",\"old\":[", old->real);
    json_number(line, ",", old->effective);
    json_number(line, ",", old->saved);
    json_number(line, ",", old->filesystem);
    line_text(line, "],\"changed\":");
    line_text(line, record->flags & (WATCH_UNCHANGED | WATCH_BEFORE | WATCH_FAILED) ? "false" : "true");
}

static void json_end_of_task(struct line *line, const struct record *record)
{
    int status = record->task->exit_status;

    json_text(line, ",\"call\":", record->task->call);
    if (record->flags & WATCH_STATUS_UNKNOWN) {
        line_text(line, ",\"status\":null,\"exit_code\":null,\"signal\":null");
    } else {
        json_integer(line, ",\"status\":", status);
        json_integer(line, ",\"exit_code\":", status >> 8 & 0xff);
        json_integer(line, ",\"signal\":", status & 0x7f);
    }
    json_number(line, ",\"elapsed\":", elapsed(record->task));
}

static void json_line(struct line *line, const struct record *record)
{
    unsigned encoded = 0, cut = 0;

    json_head(line, kind_of(record->event)->name, record->task);
    switch (record->event) {
    case WATCH_TASK_INIT:
    case WATCH_TASK_CLONE:
        json_text(line, ",\"call\":", record->task->call);
        json_number(line, ",\"clone_flags\":", record->task->clone_flags);
        break;
    case WATCH_TASK_EXEC:
        encoded = json_image(line, record, &cut);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        json_ids(line, record);
        break;
    case WATCH_TASK_EXIT:
        json_end_of_task(line, record);
        break;
    case RECORDS_LOST:
        json_number(line, ",\"n\":", record->lost);
        json_error_name(line, ",\"why\":", record->lost_error);
        break;
    }
    json_tail(line, record, cut, encoded);
}

/*
 * --- a line of text
 *
 * In strace's manner, the pid in front. Control characters and bytes that are not UTF-8 are escaped, so that a
 * program's arguments cannot draw on the terminal.
 */

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
#define TEXT_TAIL 100

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
static bool text_escaped(struct line *line, const char *text, bool quotes, size_t end)
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

static void text_path_and_arguments(struct line *line, const struct record *record)
{
    const struct task_watch *task = record->task;
    char *const *argv = own.argv ? task->argv : NULL;
    size_t end = end_of_strings(record, line, TEXT_TAIL);
    size_t path_end = end < SIZE_MAX ? line->length + (end - line->length) / 2 : SIZE_MAX;

    if (!text_escaped(line, task->path ? task->path : "?", false, path_end))
        line_text(line, "...");
    if (argv) {
        bool whole = true;

        line_text(line, " [");
        for (size_t i = 0; argv[i] && whole; i++) {
            if (i)
                line_text(line, ", ");
            line_char(line, '"');
            whole = text_escaped(line, argv[i], true, end);
            line_text(line, whole ? "\"" : "\"...");
        }
        line_char(line, ']');
    }
}

static void text_result(struct line *line, const struct record *record)
{
    line_text(line, " = -1 ");
    line_errno(line, errno_of(record));
    if (is_vetoed(record)) {
        line_text(line, " (stopped by ");
        line_text(line, record->task->stopped_by ? record->task->stopped_by : "a watcher");
        line_char(line, ')');
    }
}

static void text_exec(struct line *line, const struct record *record)
{
    line_text(line, "exec ");
    text_path_and_arguments(line, record);
    if (is_vetoed(record) || (record->flags & WATCH_FAILED))
        text_result(line, record);
    else if (record->task->context & TASKWATCH_FORECAST)
        line_text(line, " (will not be watched)");
    else if (record->flags & WATCH_BEFORE)
        line_text(line, " ...");
}

static void text_id(struct line *line, const char *name, uid_t old, uid_t now, const char *after)
{
    line_text(line, name);
    line_number(line, old);
    if (old != now) {
        line_text(line, " -> ");
        line_number(line, now);
    }
    line_text(line, after);
}

static void text_ids(struct line *line, const struct record *record)
{
    const struct task_watch_ids *old = &record->task->old_ids, *now = &record->task->ids;
    bool user = record->event == WATCH_TASK_UID;

    line_text(line, record->task->call);
    line_text(line, "()");
    if (is_vetoed(record) || (record->flags & WATCH_FAILED)) {
        text_result(line, record);
        return;
    }
    line_text(line, record->flags & WATCH_BEFORE ? " ... (" : " = 0 (");
    text_id(line, user ? "uid " : "gid ", old->real, now->real, ", ");
    text_id(line, user ? "euid " : "egid ", old->effective, now->effective, ", ");
    text_id(line, user ? "suid " : "sgid ", old->saved, now->saved, ", ");
    text_id(line, user ? "fsuid " : "fsgid ", old->filesystem, now->filesystem, ")");
}

static void text_end_of_task(struct line *line, const struct record *record)
{
    int status = record->task->exit_status;
    uint64_t milliseconds = elapsed(record->task) / 1000000;

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
static void text_creation(struct line *line, const struct record *record)
{
    const char *call = record->task->call;

    if (is_vetoed(record) || is_refused(record)) {
        line_text(line, call);
        line_text(line, "()");
        text_result(line, record);
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

static const char *text_color_of(const struct record *record)
{
    if (is_vetoed(record) || is_refused(record) || !kind_of(record->event)->mask)
        return red;
    if (record->event == WATCH_TASK_EXIT &&
        (record->task->exit_status || (record->flags & WATCH_STATUS_UNKNOWN)))
        return red;
    return record->event == WATCH_TASK_EXEC ? bold : "";
}

static void text_line(struct line *line, const struct record *record)
{
    const struct task_watch *task = record->task;
    bool by_creator = is_creation(record->event) || is_vetoed(record) || is_refused(record);
    const char *color = own.color ? text_color_of(record) : "";

    line_text(line, "[pid ");
    line_integer(line, by_creator ? task->by : task->pid);
    line_text(line, "] ");
    line_text(line, color);
    switch (record->event) {
    case WATCH_TASK_INIT:
    case WATCH_TASK_CLONE:
        text_creation(line, record);
        break;
    case WATCH_TASK_EXEC:
        text_exec(line, record);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        text_ids(line, record);
        break;
    case WATCH_TASK_EXIT:
        text_end_of_task(line, record);
        break;
    case WATCH_TASK_FREE:
        if (is_vetoed(record) || is_refused(record))
            text_creation(line, record);
        else
            line_text(line, "free");
        break;
    case NO_SESSION:
        line_text(line, "--- no session: ids, counts and ends are of this process alone ---");
        break;
    default:
        line_text(line, "--- ");
        line_number(line, record->lost);
        line_text(line, " records lost (");
        line_errno(line, record->lost_error);
        line_text(line, ") ---");
        break;
    }
    if (*color)
        line_text(line, plain);
    line_char(line, '\n');
}

/* --- where to */

/* False if `ret_path` is too short. */
static bool expand(const char *pattern, pid_t pid, char *ret_path, size_t size)
{
    struct line line = {ret_path, size, 0};

    for (; *pattern; pattern++) {
        if (*pattern != '%')
            line_char(&line, *pattern);
        else if (*++pattern == 'p')
            line_integer(&line, pid);
        else
            line_char(&line, '%');
    }
    line_char(&line, '\0');
    return line.length <= size;
}

static struct taskwatch_sink *sink_at(unsigned i)
{
    return i & 1 ? &rare.second : &own.first;
}

static struct taskwatch_sink *sink_for(const struct task_watch *task)
{
    const uint32_t not_here = TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS | TASKWATCH_QUIET;

    /* A child on its parent's memory writes to its parent's file. */
    if (own.per_process && !(task->context & not_here)) {
        pid_t pid = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
        pid_t owner = atomic_load(&own.output_owner);

        /* One thread renames; another one's line may go to the parent's file meanwhile. */
        if (owner != pid && atomic_compare_exchange_strong(&own.output_owner, &owner, pid)) {
            unsigned next = !atomic_load(&own.current);
            char *path = next ? rare.second_path : rare.first_path;

            if (expand(rare.pattern, pid, path, PATH_EXPANDED_MAX)) {
                taskwatch_sink_init(sink_at(next), path, 0);
                atomic_store(&own.current, next);
            }
        }
    }
    return sink_at(atomic_load(&own.current));
}

/* --- one line */

static void format(struct line *line, const struct record *record)
{
    line->length = 0;
    if (own.json)
        json_line(line, record);
    else
        text_line(line, record);
}

static char *map(size_t size)
{
    long address =
        raw_call(NR_MMAP, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return address < 0 && address > -4096 ? NULL : (char *)address;
}

static void unmap(char *memory, size_t size)
{
    raw_call(SYS_munmap, (long)memory, (long)size, 0, 0, 0, 0);
}

static int write_line(struct taskwatch_sink *sink, const struct line *line)
{
    size_t length = line->length < line->capacity ? line->length : line->capacity;

    return taskwatch_write(sink, line->text, length);
}

/* `line` was too short, or is longer than its sink takes at once: cut, or made anew where there is room. */
static __attribute__((noinline)) int write_long(struct taskwatch_sink *sink, struct record *record,
                                                struct line *line)
{
    size_t needed = line->length;
    char *memory = NULL;
    int result;

    if (needed > STREAM_LINE_MAX && taskwatch_sink_is_stream(sink))
        record->limit = needed = STREAM_LINE_MAX;
    if (needed > line->capacity && !(record->task->context & TASKWATCH_QUIET))
        memory = map(needed);
    if (memory)
        *line = (struct line){memory, needed, 0};
    else if (needed > line->capacity)
        record->limit = line->capacity;
    format(line, record);
    if (line->length > line->capacity) { /* the program's strings have grown between the passes */
        record->limit = line->capacity;
        format(line, record);
    }
    result = write_line(sink, line);
    if (memory)
        unmap(memory, needed);
    return result;
}

static int write_in(struct taskwatch_sink *sink, struct record *record, char *memory, size_t size)
{
    struct line line = {memory, size, 0};

    format(&line, record);
    if (line.length > line.capacity || line.length > STREAM_LINE_MAX)
        return write_long(sink, record, &line);
    return write_line(sink, &line);
}

static __attribute__((noinline)) int write_short(struct taskwatch_sink *sink, struct record *record)
{
    char memory[SHORT_LINE];

    return write_in(sink, record, memory, sizeof memory);
}

/* One for the process; for a thread that finds it taken, by whom ever, killed ones included, a mapping. */
static char *take_scratch(void)
{
    return atomic_exchange(&own.scratch_taken, true) ? map(SCRATCH) : rare.scratch;
}

static void give_scratch_back(char *scratch)
{
    if (scratch == rare.scratch)
        atomic_store(&own.scratch_taken, false);
    else
        unmap(scratch, SCRATCH);
}

/* The start of an image. -ERANGE, and nothing was written: it is longer. */
static __attribute__((noinline)) int write_image(struct taskwatch_sink *sink, struct record *record)
{
    char memory[IMAGE_LINE];
    long length = raw_call(SYS_getcwd, (long)memory, IMAGE_FOLDER_MAX, 0, 0, 0, 0); /* with its NUL */
    struct line line;

    if (length <= 0)
        return -ERANGE;
    record->cwd = memory;
    line = (struct line){memory + length, sizeof memory - (size_t)length, 0};
    format(&line, record);
    return line.length > line.capacity ? -ERANGE : write_line(sink, &line);
}

static int write_record(struct taskwatch_sink *sink, struct record *record)
{
    char *scratch;
    long length; /* of the folder with its NUL */
    int result = -ERANGE;

    if (record->event != WATCH_TASK_EXEC || !own.json || (record->task->context & TASKWATCH_QUIET))
        return write_short(sink, record);
    if (!(record->flags & (WATCH_BEFORE | WATCH_FAILED)))
        result = write_image(sink, record);
    if (result != -ERANGE)
        return result;
    record->cwd = NULL;
    scratch = take_scratch();
    if (!scratch)
        return write_short(sink, record);
    length = raw_call(SYS_getcwd, (long)scratch, FOLDER_MAX, 0, 0, 0, 0);
    if (length > 0)
        record->cwd = scratch;
    else
        length = 0;
    result = write_in(sink, record, scratch + length, SCRATCH - (size_t)length);
    give_scratch_back(scratch);
    return result;
}

/* Once for each lost record in the session, by whoever can write again first. */
static void tell_lost(struct taskwatch_sink *sink, const struct task_watch *task)
{
    int error;
    uint64_t lost = taskwatch_lost(&error);
    _Atomic uint64_t *told;
    uint64_t before;
    struct record record = {.task = task, .event = RECORDS_LOST, .lost_error = error};

    if (lost == 0)
        return;
    told = taskwatch_shared(own.block, sizeof *told);
    if (!told)
        told = &own.told;
    before = atomic_load(told);
    if (lost <= before || !atomic_compare_exchange_strong(told, &before, lost))
        return;
    record.lost = lost - before;
    if (write_short(sink, &record) != 0)
        atomic_fetch_sub(told, lost - before - 1); /* with the next; this one has counted itself */
}

/* Once in an image: what follows has ids that are its own, and nobody tells the end of a task that is killed. */
static void tell_alone(struct taskwatch_sink *sink, const struct task_watch *task)
{
    struct record record = {.task = task, .event = NO_SESSION};

    if (!atomic_exchange(&own.said_alone, true))
        write_short(sink, &record);
}

/* --- which events */

static bool is_wanted(const struct record *record)
{
    unsigned mask = kind_of(record->event)->mask;

    if (own.json)
        return (own.events & mask) && (own.threads || record->task->pid == record->task->tgid);
    /* People who ask for creations want to see those that failed, once: INIT tells a veto, FREE a refusal. */
    if (record->event == WATCH_TASK_INIT && is_vetoed(record))
        return own.events & (WATCH_MASK_INIT | WATCH_MASK_CLONE);
    if (is_refused(record))
        return own.events & (WATCH_MASK_CLONE | WATCH_MASK_FREE);
    if (record->event == WATCH_TASK_FREE && is_vetoed(record))
        return false;
    if (record->event == WATCH_TASK_CLONE && is_vetoed(record))
        return own.events & WATCH_MASK_CLONE;
    return (own.events & mask) && (own.threads || record->task->pid == record->task->tgid);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    struct record record = {.task = task, .event = get_watch_event(action), .flags = get_watch_flags(action)};
    struct taskwatch_sink *sink;

    (void)nb;
    if (!is_wanted(&record))
        return NOTIFY_DONE;
    if (atomic_load_explicit(&own.session, memory_order_relaxed) != task->session)
        atomic_store_explicit(&own.session, task->session, memory_order_relaxed);
    sink = sink_for(task);
    if (!task->session)
        tell_alone(sink, task);
    if (write_record(sink, &record) == 0)
        tell_lost(sink, task);
    return NOTIFY_DONE;
}

/* A system call: this is rarely needed, and the vDSO's function would have to be bound. */
static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now = {0};

    raw_call(SYS_clock_gettime, clock, (long)&now, 0, 0, 0, 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The last chance to say what could not be written. */
static void fini(int reason)
{
    struct task_watch nobody = {.size = sizeof nobody};

    (void)reason;
    if (taskwatch_lost(NULL) == 0) /* each process of a session comes by here */
        return;
    nobody.session = atomic_load(&own.session);
    nobody.pid = nobody.tgid = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    nobody.ppid = (pid_t)raw_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
    nobody.by = (pid_t)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
    nobody.realtime_ns = nanoseconds(CLOCK_REALTIME);
    nobody.boottime_ns = nanoseconds(CLOCK_BOOTTIME);
    tell_lost(sink_for(&nobody), &nobody);
}

/* --- options */

/* What `name` stands for is added; false: nothing. */
static bool add_events(const char *name, unsigned *events)
{
    const struct kind *kind = kinds;

    if (strcmp(name, "process") == 0)
        *events |= WATCH_MASK_CLONE | WATCH_MASK_EXEC | WATCH_MASK_EXIT;
    else if (strcmp(name, "all") == 0)
        *events |= WATCH_MASK_ALL;
    else if (strcmp(name, "none") != 0) {
        while (kind->mask && strcmp(kind->name, name) != 0)
            kind++;
        *events |= kind->mask;
        return kind->mask != 0;
    }
    return true;
}

static const char *read_events(char *list, unsigned *ret_events)
{
    unsigned events = 0;

    for (char *item; (item = option_next_item(&list)) != NULL;)
        if (!add_events(item, &events))
            return option_refuse("events", item, "not an event",
                                 "init, clone, exec, uid, gid, exit, free, process, all, none");
    *ret_events = events;
    return NULL;
}

/* Sets own.per_process. */
static const char *check_output(const char *value)
{
    static const char accepted[] =
        "an absolute path (%p: process id, %%: percent sign), - for standard output";

    if (strcmp(value, "-") != 0 && value[0] != '/')
        return option_refuse("output", value, "not an absolute path, and programs change their folder",
                             accepted);
    if (strlen(value) > OUTPUT_PATH_MAX)
        return option_refuse("output", value, "longer than 1000 bytes", accepted);
    own.per_process = false;
    for (const char *p = value; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        if (*p != 'p' && *p != '%')
            return option_refuse("output", value, "a path with another % than %p and %%", accepted);
        own.per_process |= *p == 'p';
    }
    return NULL;
}

/* NULL: the session's standard error. */
static const char *open_output(const char *pattern)
{
    bool is_short = pattern && !own.per_process && strlen(pattern) < sizeof own.path;
    char *path = is_short ? own.path : rare.first_path;

    if (!pattern) {
        taskwatch_sink_init(&own.first, NULL, 0);
        return NULL;
    }
    if (own.per_process) {
        strcpy(rare.pattern, pattern);
        atomic_store(&own.output_owner, (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0));
    }
    if (!expand(pattern, atomic_load(&own.output_owner), path, is_short ? sizeof own.path : PATH_EXPANDED_MAX))
        return option_refuse("output", pattern, "too long", "less than 1100 bytes with its process id");
    return output_open(&own.first, own.block, "output", path);
}

static bool wants_color(const char *choice)
{
    const char *no_color = environment("NO_COLOR"), *terminal = environment("TERM");

    if (strcmp(choice, "auto") != 0)
        return strcmp(choice, "always") == 0;
    if (own.json || (no_color && *no_color) || (terminal && strcmp(terminal, "dumb") == 0))
        return false;
    return taskwatch_sink_is_terminal(&own.first);
}

static const char *init(struct notifier_block *nb, char *options)
{
    const char *events = NULL, *color = "auto", *output = NULL, *refusal;
    int threads = -1, argv = 1;
    char *key, *value;

    own.block = nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "format") == 0) {
            own.json = strcmp(value, "json") == 0;
            if (!own.json && strcmp(value, "text") != 0)
                return option_refuse(key, value, "not a format", "text, json");
        } else if (strcmp(key, "output") == 0) {
            if ((refusal = check_output(value)) != NULL)
                return refusal;
            output = value;
        } else if (strcmp(key, "events") == 0) {
            if ((refusal = read_events(value, &own.events)) != NULL)
                return refusal;
            events = value;
        } else if (strcmp(key, "argv") == 0) {
            if ((argv = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
        } else if (strcmp(key, "threads") == 0) {
            if ((threads = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
        } else if (strcmp(key, "color") == 0) {
            color = value;
            if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 && strcmp(value, "never") != 0)
                return option_refuse(key, value, "not a choice", "auto, always, never");
        } else {
            return option_refuse("option", key, "unknown", "format, output, events, argv, threads, color");
        }
    }
    if (!events)
        own.events = own.json ? WATCH_MASK_ALL : WATCH_MASK_ALL & ~(WATCH_MASK_INIT | WATCH_MASK_FREE);
    own.threads = threads < 0 ? own.json : threads;
    own.argv = argv;
    if ((refusal = open_output(output)) != NULL)
        return refusal;
    own.color = !own.json && wants_color(color);
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "trace",
    .description = "writes each event as a line of text or JSON",
    .events = WATCH_MASK_ALL,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
    .fini = fini,
};
