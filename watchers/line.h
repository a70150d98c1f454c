/* SPDX-License-Identifier: MIT */
/*
 * One line of text in memory that the caller gives. Never writes past the end, but goes on counting,
 * so that a first pass over a short buffer tells how long a buffer the line needs. No allocation, no
 * system call: async-signal-safe.
 */
#ifndef WATCHERS_LINE_H
#define WATCHERS_LINE_H

#include <stddef.h>
#include <stdint.h>

/* Not inlined: the formats consist of little else, and a watcher's size is paid by each process. */
#define LINE_FUNCTION static __attribute__((noinline, unused)) void

struct line {
    char *text;
    size_t capacity;
    size_t length; /* of the whole line; what is beyond capacity is missing from `text` */
};

static inline void line_char(struct line *line, char c)
{
    if (line->length < line->capacity)
        line->text[line->length] = c;
    line->length++;
}

LINE_FUNCTION line_bytes(struct line *line, const char *bytes, size_t count)
{
    size_t room = line->length < line->capacity ? line->capacity - line->length : 0;

    for (size_t i = 0; i < count && i < room; i++)
        line->text[line->length + i] = bytes[i];
    line->length += count;
}

LINE_FUNCTION line_text(struct line *line, const char *text)
{
    size_t length = line->length;

    for (; *text; text++, length++)
        if (length < line->capacity)
            line->text[length] = *text;
    line->length = length;
}

LINE_FUNCTION line_number(struct line *line, uint64_t number)
{
    char digits[20];
    int first = sizeof digits;

    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    line_bytes(line, digits + first, sizeof digits - (size_t)first);
}

LINE_FUNCTION line_integer(struct line *line, int64_t number)
{
    if (number < 0)
        line_char(line, '-');
    line_number(line, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* `digits` hexadecimal digits, leading zeros included. */
LINE_FUNCTION line_hex(struct line *line, uint64_t number, int digits)
{
    while (digits--)
        line_char(line, "0123456789abcdef"[number >> (4 * digits) & 15]);
}

#endif /* WATCHERS_LINE_H */
