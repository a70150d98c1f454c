/* SPDX-License-Identifier: MIT */
/* Which bytes of a string are UTF-8 (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF). */
#ifndef WATCHERS_UTF8_H
#define WATCHERS_UTF8_H

#include <stddef.h>

/* Bytes of the character that begins at `s`, 1 to 4, or 0 if none does. `s` ends with a NUL. */
static inline size_t utf8_length(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t length;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        length = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        length = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return length;
}

static inline int utf8_is(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        size_t length = *s < 0x80 ? 1 : utf8_length(s);

        if (length == 0)
            return 0;
        s += length;
    }
    return 1;
}

#endif /* WATCHERS_UTF8_H */
