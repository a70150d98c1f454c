/* SPDX-License-Identifier: MIT */
/*
 * How a plug-in tells a test what happens to it. A unit test that loads it exports plugin_says(); in a
 * program under the shim the line goes to the session's standard error, once per session and key.
 */
#ifndef SAYS_H
#define SAYS_H

#include <stdio.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

/* Weak: a unit test has no sink, a program under the shim no plugin_says(). */
#pragma weak plugin_says
#pragma weak taskwatch_once
#pragma weak taskwatch_write
void plugin_says(const char *line);

static inline void says(const struct notifier_block *nb, unsigned int key, const char *line)
{
    static struct taskwatch_sink standard_error;
    char text[160];
    int length;

    if (plugin_says) {
        plugin_says(line);
        return;
    }
    if (!nb || !taskwatch_once || !taskwatch_write || !taskwatch_once(nb, key))
        return;
    length = snprintf(text, sizeof text, "%s\n", line);
    taskwatch_write(&standard_error, text, (size_t)length);
}

/* "NAME: what 12" for a number that is worth telling. */
static inline void says_number(const struct notifier_block *nb, unsigned int key, const char *what,
                               int number)
{
    char line[128];

    snprintf(line, sizeof line, "%s %d", what, number);
    says(nb, key, line);
}

#endif
