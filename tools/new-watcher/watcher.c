/* @NAME@: tells of each program that is executed, and refuses the one that deny=NAME names. */
#include <errno.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

static struct taskwatch_sink sink; /* all zero: the session's standard error */
static char denied[32];

/* One write a line, without stdio: this may run in a signal handler. */
static void tell(const char *what, const char *name)
{
    char line[128];
    size_t length = strlen(what), name_length = strnlen(name, sizeof line - length - 1);

    memcpy(line, what, length);
    memcpy(line + length, name, name_length);
    line[length + name_length] = '\n';
    taskwatch_write(&sink, line, length + name_length + 1);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    const char *slash = strrchr(task->path, '/');
    const char *name = slash ? slash + 1 : task->path;

    (void)nb;
    if (!(get_watch_flags(action) & (WATCH_BEFORE | WATCH_FAILED))) {
        tell("@NAME@: ", name);
        return NOTIFY_DONE;
    }
    /* Asked before the call. */
    return strcmp(name, denied) == 0 ? notifier_from_errno(-EACCES) : NOTIFY_DONE;
}

static const char *init(struct notifier_block *nb, char *options)
{
    char *key, *value;

    (void)nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "deny") != 0 || strlen(value) >= sizeof denied)
            return "the one option is deny=NAME, the name of a program";
        strcpy(denied, value);
    }
    return NULL;
}

const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "@NAME@",
    .description = "tells of each program, refuses one",
    .events = WATCH_MASK_EXEC | WATCH_MASK_BEFORE,
    .init = init,
    .notify = notify,
};
