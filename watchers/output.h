/* SPDX-License-Identifier: MIT */
/* A file that a watcher writes, as its options name it. For init, not for callbacks. */
#ifndef WATCHERS_OUTPUT_H
#define WATCHERS_OUTPUT_H

#include <stddef.h>

#include <taskwatch/taskwatch.h>

#include "option.h"

#define OUTPUT_PATH_MAX 1000
#define OUTPUT_OPENED 30 /* the key of taskwatch_once(), the highest */

/* Own scan: a shell may export a getenv() of its own. */
static inline const char *environment(const char *name)
{
    extern char **environ;
    size_t length = strlen(name);

    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return *entry + length + 1;
    return NULL;
}

/*
 * Names the sink's file: `path` must stay valid, NULL is the session's standard error. A wrong path is refused by
 * the first process of a session; later ones may have other rights, which costs them lines.
 */
static inline const char *output_open_as(struct taskwatch_sink *sink, const struct notifier_block *nb,
                                         unsigned once, const char *key, const char *path)
{
    int error = taskwatch_sink_init(sink, path, path != NULL && taskwatch_once(nb, once));

    if (error == 0)
        return NULL;
    return option_refuse(key, path, errno_name(-error) ? errno_name(-error) : "not to be opened",
                         "a file that can be written, in a folder that exists; a FIFO that is read");
}

/* The same for a watcher's only file, or its first; another one takes another key of taskwatch_once(). */
static inline const char *output_open(struct taskwatch_sink *sink, const struct notifier_block *nb,
                                      const char *key, const char *path)
{
    return output_open_as(sink, nb, OUTPUT_OPENED, key, path);
}

/* A path without a pattern, kept in `ret_path`; "-" is standard output. */
static inline const char *output_read(const char *key, const char *value,
                                      char (*ret_path)[OUTPUT_PATH_MAX + 1])
{
    static const char accepted[] = "an absolute path, - for standard output";

    if (strcmp(value, "-") != 0 && value[0] != '/')
        return option_refuse(key, value, "not an absolute path, and programs change their folder", accepted);
    if (strlen(value) > OUTPUT_PATH_MAX)
        return option_refuse(key, value, "longer than 1000 bytes", accepted);
    strcpy(*ret_path, value);
    return NULL;
}

#endif /* WATCHERS_OUTPUT_H */
