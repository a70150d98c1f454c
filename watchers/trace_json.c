/* SPDX-License-Identifier: MIT */
/*
 * The trace record, version 1: one JSON object a line. Keys keep their meaning within a version, new
 * ones may be added, zero values are printed, and nothing is cut or altered without saying so in
 * "truncated" and "encoded".
 */
#include "trace.h"
#include "utf8.h"

/* Strings of a record that can be long or hold any bytes. */
enum { FIELD_PATH = 1, FIELD_ARGV = 2, FIELD_CWD = 4 };

static void number(struct line *line, const char *key, uint64_t value)
{
    line_text(line, key);
    line_number(line, value);
}

static void integer(struct line *line, const char *key, int64_t value)
{
    line_text(line, key);
    line_integer(line, value);
}

/*
 * A string in quotes. `encode`: its bytes that are not UTF-8, and `%` itself, as %XX. Nothing is
 * written beyond `end` but the closing quote. Returns false if it was cut.
 */
static bool string(struct line *line, const char *text, bool encode, size_t end)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    const unsigned char *s = (const unsigned char *)text;

    line_char(line, '"');
    while (*s) {
        size_t length = utf8_length(s);
        size_t room = end > line->length ? end - line->length : 0;

        if (room < 6)
            break;
        if (length == 0 || (encode && *s == '%')) {
            line_char(line, '%');
            line_hex(line, *s++, 2);
        } else if (length > 1 || (*s >= 0x20 && *s != '"' && *s != '\\')) {
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
                line_text(line, "u00");
                line_hex(line, *s, 2);
            }
            s++;
        }
    }
    line_char(line, '"');
    return *s == '\0';
}

static bool string_or_null(struct line *line, const char *text, bool encode, size_t end)
{
    if (text)
        return string(line, text, encode, end);
    line_text(line, "null");
    return true;
}

static void name(struct line *line, const char *key, const char *value)
{
    line_text(line, key);
    string(line, value, false, SIZE_MAX);
}

static void error_name(struct line *line, const char *key, int error)
{
    line_text(line, key);
    line_char(line, '"');
    trace_errno_name(line, error);
    line_char(line, '"');
}

static bool vector_is_utf8(char *const *vector)
{
    for (; *vector; vector++)
        if (!utf8_is(*vector))
            return false;
    return true;
}

/* Returns false if it was cut. */
static bool vector(struct line *line, char *const *vector, bool encode, size_t end)
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
        whole = string(line, vector[i], encode, end);
    }
    line_char(line, ']');
    return whole;
}

static const char *event_name(unsigned long event)
{
    switch (event) {
    case WATCH_TASK_INIT:
        return "init";
    case WATCH_TASK_CLONE:
        return "clone";
    case WATCH_TASK_EXEC:
        return "exec";
    case WATCH_TASK_UID:
        return "uid";
    case WATCH_TASK_GID:
        return "gid";
    case WATCH_TASK_EXIT:
        return "exit";
    case WATCH_TASK_FREE:
        return "free";
    default:
        return "lost";
    }
}

/* What every record has. */
static void head(struct line *line, const struct trace_record *record)
{
    const struct task_watch *task = record->task;

    name(line, "{\"v\":1,\"event\":", event_name(record->event));
    line_text(line, ",\"session\":\"");
    line_hex(line, task->session, 16);
    number(line, "\",\"ts\":", task->realtime_ns);
    number(line, ",\"mono\":", task->boottime_ns);
    number(line, ",\"task\":", task->id);
    number(line, ",\"parent\":", task->parent_id);
    integer(line, ",\"pid\":", task->pid);
    integer(line, ",\"tgid\":", task->tgid);
    integer(line, ",\"ppid\":", task->ppid);
    integer(line, ",\"by\":", task->by);
}

static void verdict(struct line *line, const struct trace_record *record)
{
    if (trace_vetoed(record)) {
        line_text(line, ",\"vetoed\":true");
        name(line, ",\"by_watcher\":", record->task->stopped_by ? record->task->stopped_by : "");
        error_name(line, ",\"errno\":", trace_errno(record));
    } else if (trace_refused(record)) {
        error_name(line, ",\"refused\":", record->task->error);
    }
    if (record->flags & WATCH_ON_BEHALF)
        line_text(line, ",\"on_behalf\":true");
    if (record->flags & WATCH_BEFORE)
        line_text(line, ",\"before\":true");
    if (record->flags & WATCH_FAILED)
        error_name(line, ",\"failed\":", record->task->error);
    if (record->flags & WATCH_AGAIN)
        line_text(line, ",\"again\":true");
    if (record->flags & WATCH_ADOPTED)
        line_text(line, ",\"adopted\":true");
}

static void fields(struct line *line, const char *key, unsigned set)
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
        name(line, "", names[i]);
        before = ",";
    }
    line_char(line, ']');
}

/* What follows the strings, cut or not. */
static void tail(struct line *line, const struct trace_record *record, unsigned cut, unsigned encoded)
{
    verdict(line, record);
    fields(line, ",\"truncated\":[", cut);
    fields(line, ",\"encoded\":[", encoded);
    line_text(line, "}\n");
}

static unsigned fields_to_encode(const struct trace_record *record, char *const *argv)
{
    unsigned encode = 0;

    if (record->task->path && !utf8_is(record->task->path))
        encode |= FIELD_PATH;
    if (argv && !vector_is_utf8(argv))
        encode |= FIELD_ARGV;
    if (record->cwd && !utf8_is(record->cwd))
        encode |= FIELD_CWD;
    return encode;
}

/* The strings of EXEC. Returns the FIELD_ bits that were encoded; sets those that were cut. */
static unsigned image(struct line *line, const struct trace_record *record, unsigned *cut)
{
    const struct task_watch *task = record->task;
    char *const *argv = record->with_argv ? task->argv : NULL;
    unsigned encoded = fields_to_encode(record, argv);
    struct line rest = {NULL, 0, 0}, folder = {NULL, 0, 0}; /* counted, not written */
    size_t end, path_end = SIZE_MAX, argv_end = SIZE_MAX;

    line_text(&rest, ",\"path\":,\"argv\":,\"cwd\":null");
    tail(&rest, record, FIELD_PATH | FIELD_ARGV | FIELD_CWD, encoded);
    end = trace_end(record, line, rest.length);
    if (end <
        SIZE_MAX) { /* half for the path, a quarter for the folder, and to the arguments what those leave */
        size_t room = end - line->length;

        string_or_null(&folder, record->cwd, encoded & FIELD_CWD, SIZE_MAX);
        path_end = line->length + room / 2;
        argv_end = end - 16 - (folder.length < room / 4 ? folder.length : room / 4); /* 16: `"],"cwd":` */
    }
    line_text(line, ",\"path\":");
    if (!string_or_null(line, task->path, encoded & FIELD_PATH, path_end))
        *cut |= FIELD_PATH;
    if (record->with_argv) {
        line_text(line, ",\"argv\":");
        if (!argv)
            line_text(line, "null");
        else if (!vector(line, argv, encoded & FIELD_ARGV, argv_end))
            *cut |= FIELD_ARGV;
    }
    line_text(line, ",\"cwd\":");
    if (!string_or_null(line, record->cwd, encoded & FIELD_CWD, end))
        *cut |= FIELD_CWD;
    return encoded;
}

static void ids(struct line *line, const struct trace_record *record)
{
    const struct task_watch_ids *now = &record->task->ids, *old = &record->task->old_ids;
    bool user = record->event == WATCH_TASK_UID;

    name(line, ",\"call\":", record->task->call);
    number(line, user ? ",\"uid\":" : ",\"gid\":", now->real);
    number(line, user ? ",\"euid\":" : ",\"egid\":", now->effective);
    number(line, user ? ",\"suid\":" : ",\"sgid\":", now->saved);
    number(line, user ? ",\"fsuid\":" : ",\"fsgid\":", now->filesystem);
    number(line, ",\"old\":[", old->real);
    number(line, ",", old->effective);
    number(line, ",", old->saved);
    number(line, ",", old->filesystem);
    line_text(line, "],\"changed\":");
    line_text(line, record->flags & (WATCH_UNCHANGED | WATCH_BEFORE | WATCH_FAILED) ? "false" : "true");
}

static void end_of_task(struct line *line, const struct trace_record *record)
{
    int status = record->task->exit_status;

    name(line, ",\"call\":", record->task->call);
    if (record->flags & WATCH_STATUS_UNKNOWN) {
        line_text(line, ",\"status\":null,\"exit_code\":null,\"signal\":null");
    } else {
        integer(line, ",\"status\":", status);
        integer(line, ",\"exit_code\":", status >> 8 & 0xff);
        integer(line, ",\"signal\":", status & 0x7f);
    }
    number(line, ",\"elapsed\":", trace_elapsed(record->task));
}

void trace_json(struct line *line, const struct trace_record *record)
{
    unsigned encoded = 0, cut = 0;

    head(line, record);
    switch (record->event) {
    case WATCH_TASK_INIT:
    case WATCH_TASK_CLONE:
        name(line, ",\"call\":", record->task->call);
        number(line, ",\"clone_flags\":", record->task->clone_flags);
        break;
    case WATCH_TASK_EXEC:
        encoded = image(line, record, &cut);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        ids(line, record);
        break;
    case WATCH_TASK_EXIT:
        end_of_task(line, record);
        break;
    case TRACE_LOST:
        number(line, ",\"n\":", record->lost);
        error_name(line, ",\"why\":", record->lost_error);
        break;
    }
    tail(line, record, cut, encoded);
}
