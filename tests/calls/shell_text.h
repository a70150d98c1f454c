/* SPDX-License-Identifier: MIT */
/*
 * For programs that run shell commands and say what came of it.
 */
#ifndef TESTS_SHELL_TEXT_H
#define TESTS_SHELL_TEXT_H

#include "check.h"

/* All that a command has written to a file, which is gone then. */
static inline const char *take_text(const char *path)
{
    static char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    unlink(path);
    return text;
}

static inline int under_preload(void)
{
    return getenv("TASKWATCH_WATCHERS") != NULL;
}

#endif
