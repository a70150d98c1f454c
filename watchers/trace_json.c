/* SPDX-License-Identifier: MIT */
/*
 * The trace record, version 1: one JSON object a line. Keys keep their meaning within a version, new
 * ones may be added, zero values are printed, and nothing is cut or altered without saying so in
 * "truncated" and "encoded".
 */
#include "json.h"
#include "trace.h"

/* Strings of a record that can be long or hold any bytes. */
enum { FIELD_PATH = 1, FIELD_ARGV = 2, FIELD_CWD = 4 };

static bool string_or_null(struct line *line, const char *text, bool encode, size_t end)
{
    if (text)
        return json_string(line, text, encode, end);
    line_text(line, "null");
    return true;
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
        whole = json_string(line, vector[i], encode, end);
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

static void verdict(struct line *line, const struct trace_record *record)
{
    if (trace_vetoed(record)) {
        line_text(line, ",\"vetoed\":true");
        json_text(line, ",\"by_watcher\":", record->task->stopped_by ? record->task->stopped_by : "");
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
        json_text(line, "", names[i]);
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

static void end_of_task(struct line *line, const struct trace_record *record)
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
    json_number(line, ",\"elapsed\":", trace_elapsed(record->task));
}

void trace_json(struct line *line, const struct trace_record *record)
{
    unsigned encoded = 0, cut = 0;

    json_head(line, event_name(record->event), record->task);
    switch (record->event) {
    case WATCH_TASK_INIT:
    case WATCH_TASK_CLONE:
        json_text(line, ",\"call\":", record->task->call);
        json_number(line, ",\"clone_flags\":", record->task->clone_flags);
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
        json_number(line, ",\"n\":", record->lost);
        error_name(line, ",\"why\":", record->lost_error);
        break;
    }
    tail(line, record, cut, encoded);
}
