/* SPDX-License-Identifier: MIT */
/*
 * leak: what is left over when a program ends: children that run on, orphans, and zombies that nobody waited for.
 *
 *   scope=root|process  looks when the session's first process ends, or when each one does (then at its own
 *                       children alone): root
 *   fail=0|1            1: a finding fails the session, and the launcher ends with 88
 *   kill=TERM|KILL      ends what runs on when the first process ends: processes of this very session, by pidfd,
 *                       proven by their pid namespace, their start and the session's memory in their map
 *
 * An observer. The call that made a task is kept in its cell; of one that has ended and was perhaps not waited
 * for, in the session's shared words.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <taskwatch/taskwatch.h>

#include "line.h"
#include "option.h"
#include "raw.h"

enum { MOST_PARENTS = 8, ENDED = 240, NR_PIDFD_SEND_SIGNAL = 424, NR_PIDFD_OPEN = 434 };

static const struct notifier_block *own_block;
static bool each_process, fails;
static int kill_signal;
static char segment[12]; /* the session's, as maps shows it; "": not known */
static struct taskwatch_sink standard_error;

/* The newest tasks that have told their own end, by pid. Others can write here. */
struct ended {
    _Atomic uint32_t next;
    struct {
        _Atomic int32_t pid;
        char call[12];
    } task[ENDED];
};
_Static_assert(sizeof(struct ended) <= TASKWATCH_SHARED_MAX, "it is what is shared");

/* --- /proc; one process looks once, at its end, so the memory is static */

static char text[4096];

static void proc_path(char *path, size_t size, pid_t pid, const char *file)
{
    struct line line = {path, size - 1, 0};

    line_text(&line, "/proc/");
    line_integer(&line, pid);
    line_text(&line, file);
    path[line.length < size ? line.length : size - 1] = '\0';
}

/* What the file begins with, in `text`; 0 bytes if it is not to be had. */
static size_t read_proc(pid_t pid, const char *file)
{
    char path[48];
    long fd, length = 0;

    proc_path(path, sizeof path, pid, file);
    fd = raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd >= 0) {
        length = raw_call(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
        raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
    }
    length = length > 0 ? length : 0;
    text[length] = '\0';
    return (size_t)length;
}

struct process {
    char state; /* as in proc(5); 0: there is none */
    pid_t ppid;
    uint64_t start_ns;
    char name[16];
};

/* The name may hold anything: the rest begins behind its last ')'. */
static struct process look_at(pid_t pid)
{
    struct process process = {.state = 0};
    size_t length = read_proc(pid, "/stat"), end = length, at = 0;
    uint64_t field = 0;
    int number = 3;

    while (end > 0 && text[end - 1] != ')')
        end--;
    while (at < length && text[at] != '(')
        at++;
    if (end + 2 >= length || at >= end)
        return process;
    for (size_t n = 0; n < sizeof process.name - 1 && at + 1 + n < end - 1; n++)
        process.name[n] = text[at + 1 + n];
    process.state = text[end + 1];
    for (at = end + 2; at < length && number <= 22; at++) {
        if (text[at] >= '0' && text[at] <= '9') {
            field = field * 10 + (uint64_t)(text[at] - '0');
        } else if (text[at] == ' ') {
            if (number == 4)
                process.ppid = (pid_t)field;
            if (number == 22)
                process.start_ns = field * 10000000;
            field = 0;
            number++;
        }
    }
    return process;
}

static void add_command(struct line *line, pid_t pid, const struct process *process)
{
    size_t length = read_proc(pid, "/cmdline");

    if (length == 0) {
        line_text(line, process->name);
        return;
    }
    length = length > 160 ? 160 : length;
    while (length > 0 && text[length - 1] == '\0')
        length--;
    for (size_t n = 0; n < length; n++)
        line_char(line, text[n] == '\0' ? ' ' : (unsigned char)text[n] < ' ' ? '?' : text[n]);
}

/* --- ending what is left */

static bool same_pid_namespace(pid_t pid)
{
    char path[48], own[64], other[64];
    long own_length =
        raw_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)own, sizeof own, 0, 0);
    long length;

    proc_path(path, sizeof path, pid, "/ns/pid");
    length = raw_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)other, sizeof other, 0, 0);
    if (length <= 0 || length != own_length)
        return false;
    for (long n = 0; n < length; n++)
        if (own[n] != other[n])
            return false;
    return true;
}

/* A line of maps: "7f00-7f10 rw-s 00000000 00:01 17   /SYSV00000000 (deleted)". */
static bool is_of_session(const char *line)
{
    const char *p = line;

    for (int field = 0; field < 4; field++) {
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    for (const char *digit = segment; *digit; digit++)
        if (*p++ != *digit)
            return false;
    if (*p != ' ')
        return false;
    while (*p == ' ')
        p++;
    return strncmp(p, "/SYSV", 5) == 0;
}

/* True if the session's memory is mapped there. */
static bool has_session_memory(pid_t pid)
{
    char path[48], line[128];
    size_t length = 0;
    bool found = false;
    long fd, count;

    proc_path(path, sizeof path, pid, "/maps");
    fd = segment[0] ? raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0) : -1;
    while (fd >= 0 && !found && (count = raw_call(SYS_read, fd, (long)text, sizeof text, 0, 0, 0)) > 0)
        for (long n = 0; n < count && !found; n++) {
            if (text[n] != '\n') {
                if (length < sizeof line - 1)
                    line[length++] = text[n];
                continue;
            }
            line[length] = '\0';
            length = 0;
            found = is_of_session(line);
        }
    if (fd >= 0)
        raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
    return found;
}

/* Ends it, or says why not. The number comes from memory that others can write: nothing is sent to a process that is
 * not proven to be the session's. */
static const char *end_process(const struct task_watch *task)
{
    long pidfd = raw_call(NR_PIDFD_OPEN, task->pid, 0, 0, 0, 0, 0);
    const char *why = NULL;

    if (pidfd < 0)
        return "it has ended";
    if (!same_pid_namespace(task->pid))
        why = "not ended: it is in another pid namespace";
    else if (look_at(task->pid).start_ns > task->start_ns + 10000000)
        why = "not ended: another process has its number";
    else if (!has_session_memory(task->pid))
        why = "not ended: nothing proves that it is of this session";
    else if (raw_call(NR_PIDFD_SEND_SIGNAL, pidfd, kill_signal, 0, 0, 0, 0) < 0)
        why = "not ended: no permission";
    raw_call(SYS_close, pidfd, 0, 0, 0, 0, 0);
    return why ? why : kill_signal == SIGKILL ? "SIGKILL was sent" : "SIGTERM was sent";
}

/* --- findings */

struct look {
    const struct task_watch *ending;
    unsigned found;
};

struct search {
    uint64_t id;
    struct task_watch task; /* id 0: it does not live */
};

static int is_it(void *context, const struct task_watch *task)
{
    struct search *search = context;

    if (task->id != search->id)
        return 0;
    search->task = *task;
    return 1;
}

/* NULL: it does not live. Valid until the next one is asked for. */
static const struct task_watch *task_of(uint64_t id)
{
    static struct search search;

    search = (struct search){.id = id};
    if (id != 0)
        taskwatch_for_each_task(is_it, &search);
    return search.task.id ? &search.task : NULL;
}

/* "sh (pid 5) < make (pid 3)": who made whom, as far as they live. */
static void add_parents(struct line *line, uint64_t id, const struct task_watch *ending)
{
    for (int n = 0; n < MOST_PARENTS && id != 0; n++) {
        const struct task_watch *parent = id == ending->id ? ending : task_of(id);
        struct process process;

        line_text(line, n == 0 ? " by " : " < ");
        if (!parent) {
            line_text(line, "a process that has ended");
            return;
        }
        process = look_at(parent->pid);
        line_text(line, process.state ? process.name : "?");
        line_text(line, " (pid ");
        line_integer(line, parent->pid);
        line_text(line, ")");
        id = parent->parent_id;
    }
}

static void add_age(struct line *line, uint64_t now, uint64_t start)
{
    uint64_t tenths = now > start ? (now - start) / 100000000 : 0;

    line_text(line, ", ");
    line_number(line, tenths / 10);
    line_text(line, ".");
    line_number(line, tenths % 10);
    line_text(line, " s old");
}

static void add_call(struct line *line, const char *call, size_t size)
{
    line_text(line, ", made by ");
    if (call == NULL || *call == '\0')
        line_text(line, "a call that was not seen");
    for (size_t n = 0; call && n < size && call[n]; n++)
        line_char(line, call[n] > ' ' && call[n] <= '~' ? call[n] : '?');
}

static void write_line(struct line *line)
{
    size_t length = line->length < line->capacity ? line->length : line->capacity;

    line->text[length++] = '\n';
    taskwatch_write(&standard_error, line->text, length);
}

/* A process that lives. */
static int tell_living(void *context, const struct task_watch *task)
{
    static char memory[700];
    struct look *look = context;
    const struct task_watch *ending = look->ending;
    struct line line = {memory, sizeof memory - 1, 0};
    struct process process;

    if (task->pid != task->tgid || task->tgid == ending->tgid ||
        (each_process && task->parent_id != ending->id))
        return 0;
    process = look_at(task->pid);
    if (process.state == 0 || process.state == 'X')
        return 0;
    look->found++;
    line_text(&line, process.state == 'Z' ? "leak: not waited for: pid " : "leak: still running: pid ");
    line_integer(&line, task->pid);
    line_text(&line, " (");
    add_command(&line, task->pid, &process);
    line_text(&line, ")");
    add_age(&line, ending->boottime_ns, task->start_ns);
    if (task->parent_id != ending->id && !task_of(task->parent_id))
        line_text(&line, ", an orphan");
    add_call(&line, taskwatch_cell(task, own_block), TASKWATCH_CELL_SIZE);
    add_parents(&line, task->parent_id, ending);
    if (kill_signal && !each_process && process.state != 'Z') {
        line_text(&line, ": ");
        line_text(&line, end_process(task));
    }
    write_line(&line);
    return 0;
}

static const char *call_of_ended(pid_t pid)
{
    struct ended *ended = taskwatch_shared(own_block, sizeof *ended);

    for (unsigned n = 0; ended && n < ENDED; n++)
        if (atomic_load(&ended->task[n].pid) == pid)
            return ended->task[n].call;
    return NULL;
}

/* A child of ours that has ended: it has told its end and left the session, and is still there. */
static void tell_zombie(pid_t pid, struct look *look)
{
    static char memory[300];
    struct line line = {memory, sizeof memory - 1, 0};
    struct process process = look_at(pid);

    if (process.state != 'Z' || process.ppid != look->ending->tgid)
        return;
    look->found++;
    line_text(&line, "leak: not waited for: pid ");
    line_integer(&line, pid);
    line_text(&line, " (");
    line_text(&line, process.name);
    line_text(&line, ")");
    add_age(&line, look->ending->boottime_ns, process.start_ns);
    add_call(&line, call_of_ended(pid), sizeof((struct ended *)0)->task[0].call);
    add_parents(&line, look->ending->id, look->ending);
    write_line(&line);
}

static int is_process(void *context, const struct task_watch *task)
{
    return task->pid == *(const pid_t *)context;
}

/* Those that are not in the session any more: the others were told by tell_living(). */
static void tell_zombies(struct look *look)
{
    static char children[4096];
    size_t length;
    pid_t pid = 0;
    char path[48];
    struct line line = {path, sizeof path - 1, 0};

    line_text(&line, "/task/");
    line_integer(&line, look->ending->tgid);
    line_text(&line, "/children");
    path[line.length] = '\0';
    length = read_proc(look->ending->tgid, path);
    for (size_t n = 0; n < length; n++)
        children[n] = text[n];
    for (size_t n = 0; n < length; n++) {
        if (children[n] >= '0' && children[n] <= '9') {
            pid = pid * 10 + (children[n] - '0');
            continue;
        }
        if (pid > 0 && !taskwatch_for_each_task(is_process, &pid))
            tell_zombie(pid, look);
        pid = 0;
    }
}

static void on_end(const struct task_watch *task, unsigned long flags)
{
    struct look look = {.ending = task};
    bool root = task->id == 1; /* the first that the session met */

    if (task->pid != task->tgid || (task->context & (TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS)))
        return;
    if (each_process ? flags & WATCH_ON_BEHALF : !root)
        return;
    taskwatch_for_each_task(tell_living, &look);
    if (!(flags & WATCH_ON_BEHALF))
        tell_zombies(&look);
    if (look.found && fails)
        taskwatch_fail_session(own_block);
}

/* --- calls */

static void keep_call(char *to, size_t size, const char *call)
{
    size_t n = 0;

    for (; n < size - 1 && call[n]; n++)
        to[n] = call[n];
    to[n] = '\0';
}

static void keep_ended(const struct task_watch *task)
{
    struct ended *ended = taskwatch_shared(own_block, sizeof *ended);
    const char *call = taskwatch_cell(task, own_block);
    unsigned n;

    if (!ended || !call)
        return;
    n = atomic_fetch_add(&ended->next, 1) % ENDED;
    atomic_store(&ended->task[n].pid, 0);
    keep_call(ended->task[n].call, sizeof ended->task[n].call, call);
    atomic_store(&ended->task[n].pid, task->pid);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    unsigned long flags = get_watch_flags(action);
    char *cell;

    if (task->context & TASKWATCH_QUIET)
        return NOTIFY_DONE;
    if (get_watch_event(action) == WATCH_TASK_CLONE) {
        if ((cell = taskwatch_cell(task, nb)) != NULL)
            keep_call(cell, TASKWATCH_CELL_SIZE, task->call);
    } else if (get_watch_event(action) == WATCH_TASK_EXIT) {
        on_end(task, flags);
        if (task->pid == task->tgid && !(flags & WATCH_ON_BEHALF))
            keep_ended(task);
    }
    return NOTIFY_DONE;
}

/* --- options */

/* "ID:SECRET" of the session's variable, which every process but a founder has. */
static void read_segment(void)
{
    extern char **environ;
    static const char name[] = "TASKWATCH_SESSION=";

    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, name, sizeof name - 1) == 0)
            for (size_t n = 0; n < sizeof segment - 1 && (*entry)[sizeof name - 1 + n] != ':'; n++)
                segment[n] = (*entry)[sizeof name - 1 + n];
}

static const char *init(struct notifier_block *nb, char *options)
{
    char *key, *value;
    int choice;

    own_block = nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "scope") == 0) {
            each_process = strcmp(value, "process") == 0;
            if (!each_process && strcmp(value, "root") != 0)
                return option_refuse(key, value, "not a scope", "root, process");
        } else if (strcmp(key, "fail") == 0) {
            if ((choice = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
            fails = choice;
        } else if (strcmp(key, "kill") == 0) {
            kill_signal = strcmp(value, "TERM") == 0 ? SIGTERM : strcmp(value, "KILL") == 0 ? SIGKILL : 0;
            if (!kill_signal)
                return option_refuse(key, value, "not a signal that ends", "TERM, KILL");
        } else {
            return option_refuse("option", key, "unknown", "scope, fail, kill");
        }
    }
    if (kill_signal && each_process)
        return "kill: only with scope=root: what one process leaves may be another's";
    read_segment();
    taskwatch_sink_init(&standard_error, NULL, 0);
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "leak",
    .description = "what is left over when a program ends: children, orphans, zombies",
    .events = WATCH_MASK_CLONE | WATCH_MASK_EXIT,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
};
