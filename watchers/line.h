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
#include <string.h>

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

/*
 * By words: pieces are a few bytes long, memcpy() would be a call and a decision for each. The last word overlaps the
 * one before it.
 */
static inline void line_copy(char *to, const char *from, size_t count)
{
    size_t i = 0;

    if (count >= 8) {
        for (; i < count - 8; i += 8)
            __builtin_memcpy(to + i, from + i, 8);
        __builtin_memcpy(to + count - 8, from + count - 8, 8);
    } else if (count >= 4) {
        __builtin_memcpy(to, from, 4);
        __builtin_memcpy(to + count - 4, from + count - 4, 4);
    } else {
        for (; i < count; i++)
            to[i] = from[i];
    }
}

LINE_FUNCTION line_bytes(struct line *line, const char *bytes, size_t count)
{
    size_t room = line->length < line->capacity ? line->capacity - line->length : 0;

    if (room > 0)
        line_copy(line->text + line->length, bytes, count < room ? count : room);
    line->length += count;
}

/* Of a literal the compiler knows the length. */
static inline void line_text(struct line *line, const char *text)
{
    line_bytes(line, text, strlen(text));
}

LINE_FUNCTION line_number(struct line *line, uint64_t number)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
                                "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char digits[20];
    size_t first = sizeof digits;

    for (; number >= 10; number /= 100)
        __builtin_memcpy(digits + (first -= 2), pairs + number % 100 * 2, 2);
    if (number || first == sizeof digits)
        digits[--first] = (char)('0' + number);
    line_bytes(line, digits + first, sizeof digits - first);
}

LINE_FUNCTION line_integer(struct line *line, int64_t number)
{
    if (number < 0)
        line_char(line, '-');
    line_number(line, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* `digits` hexadecimal digits, at most 16, leading zeros included. */
LINE_FUNCTION line_hex(struct line *line, uint64_t number, size_t digits)
{
    char text[16];

    for (size_t i = digits; i-- > 0; number >>= 4)
        text[i] = "0123456789abcdef"[number & 15];
    line_bytes(line, text, digits);
}

#endif /* WATCHERS_LINE_H */
