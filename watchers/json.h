/* SPDX-License-Identifier: MIT */
/*
 * JSON of a watcher's records: the keys that each of them begins with, strings and numbers. What a string
 * cannot hold is not altered without saying so: see json_string(). Async-signal-safe.
 */
#ifndef WATCHERS_JSON_H
#define WATCHERS_JSON_H

#include <stdbool.h>

#include <taskwatch/taskwatch.h>

#include "line.h"
#include "utf8.h"

static inline void json_number(struct line *line, const char *key, uint64_t value)
{
    line_text(line, key);
    line_number(line, value);
}

static inline void json_integer(struct line *line, const char *key, int64_t value)
{
    line_text(line, key);
    line_integer(line, value);
}

/* How many of the first `most` bytes stand for themselves in a string. */
static inline size_t json_plain(const unsigned char *s, size_t most, bool encode)
{
    size_t count = 0;

    while (count < most && s[count] >= 0x20 && s[count] < 0x80 && s[count] != '"' && s[count] != '\\' &&
           !(encode && s[count] == '%'))
        count++;
    return count;
}

/*
 * A string in quotes. `encode`: its bytes that are not UTF-8, and `%` itself, as %XX; the record has to say
 * so. Nothing is written beyond `end` but the closing quote. Returns false if it was cut.
 */
static __attribute__((noinline, unused)) bool json_string(struct line *line, const char *text, bool encode,
                                                          size_t end)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";
    const unsigned char *s = (const unsigned char *)text;

    line_char(line, '"');
    while (*s) {
        size_t room = end > line->length ? end - line->length : 0;
        size_t length;

        if (room < 6)
            break;
        if ((length = json_plain(s, room - 5, encode)) > 0) {
            line_bytes(line, (const char *)s, length);
            s += length;
            continue;
        }
        length = utf8_length(s);
        if (length == 0 || (encode && *s == '%')) {
            line_char(line, '%');
            line_hex(line, *s++, 2);
        } else if (length > 1) {
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

/* A string of ours or the library's. */
static inline void json_text(struct line *line, const char *key, const char *value)
{
    line_text(line, key);
    json_string(line, value, false, SIZE_MAX);
}

/* What every record has. */
LINE_FUNCTION json_head(struct line *line, const char *event, const struct task_watch *task)
{
    json_text(line, "{\"v\":1,\"event\":", event);
    line_text(line, ",\"session\":\"");
    line_hex(line, task->session, 16);
    json_number(line, "\",\"ts\":", task->realtime_ns);
    json_number(line, ",\"mono\":", task->boottime_ns);
    json_number(line, ",\"task\":", task->id);
    json_number(line, ",\"parent\":", task->parent_id);
    json_integer(line, ",\"pid\":", task->pid);
    json_integer(line, ",\"tgid\":", task->tgid);
    json_integer(line, ",\"ppid\":", task->ppid);
    json_integer(line, ",\"by\":", task->by);
}

#endif /* WATCHERS_JSON_H */
