/* SPDX-License-Identifier: MIT */
/*
 * noshell: no program of this tree may execute a shell. A watcher in C that is asked before a call.
 *
 *   allow=NAME   this one may be executed all the same
 */
#include <errno.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

static const char *const shells[] = {"sh", "dash", "bash", "ksh", "zsh"};
static char allowed[16];

/* What the path names is what counts: a link to bash with another name is not seen as a shell. */
static int is_shell(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
        if (strcmp(name, shells[i]) == 0 && strcmp(name, allowed) != 0)
            return 1;
    }
    return 0;
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;

    (void)nb;
    /* Only the question before the call can be answered; the rest are reports. */
    if (!(get_watch_flags(action) & WATCH_BEFORE) || (task->context & TASKWATCH_FORECAST))
        return NOTIFY_DONE;
    return is_shell(task->path) ? notifier_from_errno(-EACCES) : NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    char *key, *value;

    (void)nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "allow") != 0 || strlen(value) >= sizeof allowed)
            return "the one option is allow=NAME, the name of a shell";
        strcpy(allowed, value);
    }
    return NULL;
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "noshell",
    .description = "refuses to execute a shell",
    .events = WATCH_MASK_EXEC | WATCH_MASK_BEFORE,
    .init = init,
    .notify = notify,
};
