/* SPDX-License-Identifier: MIT */
/*
 * Reading the values of a watcher's options, and refusing them: what was wrong, why, and what would be
 * accepted. For init, not for callbacks. How a list of options is split is in taskwatch.h.
 */
#ifndef WATCHERS_OPTION_H
#define WATCHERS_OPTION_H

#include <stdint.h>
#include <string.h>

#include "errno_names.h"
#include "line.h"

/* Digits alone, `least` to `most`. Returns 1, or 0 and leaves `*ret_number` alone. */
static inline int option_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return 0;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (*text < '0' || *text > '9' || number > most / 10 || digit > most - number * 10)
            return 0;
        number = number * 10 + digit;
    }
    if (number < least)
        return 0;
    *ret_number = number;
    return 1;
}

/* A name or 1 to 4095, as a positive number; 0: neither. */
static inline int option_errno(const char *text)
{
    uint64_t number = (uint64_t)errno_number(text);

    option_number(text, 1, 4095, &number);
    return (int)number;
}

/* 1 for "1", 0 for "0", otherwise -1. */
static inline int option_switch(const char *text)
{
    if ((text[0] != '0' && text[0] != '1') || text[1] != '\0')
        return -1;
    return text[0] - '0';
}

/* Cuts the next item off a list that commas separate; NULL at its end. */
static inline char *option_next_item(char **list)
{
    char *item = *list;

    if (item == NULL)
        return NULL;
    *list = strchr(item, ',');
    if (*list)
        *(*list)++ = '\0';
    return item;
}

/*
 * "KEY: 'VALUE' is WHAT; accepted: THOSE". `rule` > 0: "rule N: " before it. In static storage, as init
 * has to return it.
 */
static inline const char *option_refuse_in_rule(unsigned rule, const char *key, const char *value,
                                                const char *what, const char *accepted)
{
    static char message[400];
    struct line line = {message, sizeof message - 1, 0};

    if (rule) {
        line_text(&line, "rule ");
        line_number(&line, rule);
        line_text(&line, ": ");
    }
    line_bytes(&line, key, strnlen(key, 32));
    line_text(&line, ": '");
    line_bytes(&line, value, strnlen(value, 80));
    line_text(&line, strnlen(value, 81) > 80 ? "...' is " : "' is ");
    line_text(&line, what);
    line_text(&line, "; accepted: ");
    line_text(&line, accepted);
    message[line.length < line.capacity ? line.length : line.capacity] = '\0';
    return message;
}

static inline const char *option_refuse(const char *key, const char *value, const char *what,
                                        const char *accepted)
{
    return option_refuse_in_rule(0, key, value, what, accepted);
}

#endif /* WATCHERS_OPTION_H */
