/* SPDX-License-Identifier: MIT */
/*
 * A watcher with a descriptor, good unless a macro of meson.build's table makes it a bad one. It tells of
 * its constructor, init, first event, fini and destructor, so that a test sees which of its code has run.
 */
#include <errno.h>

#include "says.h"

#ifndef ABI
#define ABI TASKWATCH_ABI_VERSION
#endif
#ifndef SIZE
#define SIZE sizeof(struct taskwatch_watcher)
#endif
#ifndef NAME
#define NAME "good"
#endif
#ifndef EVENTS
#define EVENTS WATCH_MASK_ALL
#endif
#ifndef CALLBACK
#define CALLBACK notify
#endif
#ifndef INIT
#define INIT init
#endif

#ifndef QUIET
__attribute__((constructor)) static void constructed(void)
{
    says(NULL, 0, "constructor");
}

__attribute__((destructor)) static void destructed(void)
{
    says(NULL, 0, "destructor");
}
#endif

__attribute__((unused)) static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)data;
    says_number(nb, 0, "event", (int)get_watch_event(action));
    return NOTIFY_DONE;
}

/* Does what an init may do: changes its options in place, spoils errno. */
__attribute__((unused)) static const char *init(struct notifier_block *nb, char *options)
{
    char line[128];

    (void)nb;
    snprintf(line, sizeof line, "init '%s'", options);
    says(nb, 1, line);
    memset(options, '#', strlen(options));
    errno = EIO;
    return NULL;
}

__attribute__((unused)) static const char *refuse(struct notifier_block *nb, char *options)
{
    (void)nb;
    (void)options;
    return "width=7 is out of range; a width is 1 to 5";
}

/* A message that would draw on the terminal. */
__attribute__((unused)) static const char *refuse_in_colour(struct notifier_block *nb, char *options)
{
    (void)nb;
    (void)options;
    return "\033[31mtwo\nlines";
}

__attribute__((unused)) static const char *set_priority(struct notifier_block *nb, char *options)
{
    (void)options;
    nb->priority = WATCH_PRIORITY_OBSERVER;
    return NULL;
}

static void finish(int reason)
{
    char line[32];

    snprintf(line, sizeof line, "fini %d", reason);
    says(NULL, 0, line);
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = ABI,
    .size = SIZE,
    .name = NAME,
    .description = "a plug-in of the tests",
    .events = EVENTS,
    .priority = 0,
    .init = INIT,
    .notify = CALLBACK,
    .fini = finish,
};
