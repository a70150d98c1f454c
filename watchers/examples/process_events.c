/* SPDX-License-Identifier: MIT */
/*
 * process_events: a watcher as they were in 2006, ported. The kernel's process events (forks, execs, changed ids and
 * ends, told to whoever listens) had five calls of their own in fork.c, exec.c, sys.c and exit.c; as a task
 * watcher they were one callback with a switch. This is that watcher, newly written, with the shape of the module kept:
 * a notifier block, a callback, an init function.
 *
 * What a port changes:
 *
 *   <linux/notifier.h>, <linux/sched.h>, ...  one header, <taskwatch/taskwatch.h>
 *   struct task_struct *task = v              const struct task_watch *task = v
 *   task->pid, task->tgid                     the same names; at INIT 0, because no pid exists before the fork
 *   task->real_parent->tgid                   task->ppid
 *   task->uid, task->euid                     task->ids.real, task->ids.effective; the ids before are in old_ids
 *   task->exit_code                           task->exit_status; unknown if WATCH_STATUS_UNKNOWN is set
 *   current                                   task->by, the one who tells: at CLONE the creator; at EXIT perhaps
 *                                             another process, with WATCH_ON_BEHALF, if the task was killed
 *   module_init                               __attribute__((constructor))
 *   module_exit                               nothing: a watcher is not unloaded, and a destructor that took the
 *                                             block out would run before the EXIT of its own process
 *   per-CPU sequence numbers, get_cpu_var()   taskwatch_shared(): the chain runs in many processes, and a static
 *                                             variable is one for each
 *   kmalloc(GFP_ATOMIC), cn_netlink_send()    a line on the stack, taskwatch_write()
 *   ktime_get_ts()                            task->boottime_ns, taken before the walk
 *
 * What it need not change: the events, get_watch_event(), the block, the order of registration, return values.
 *
 * What became sharper: an EXEC is told once, also for a script; UID and GID are told for calls that succeeded, with
 * WATCH_UNCHANGED where nothing differs; FREE follows each INIT. It asks for the five events that it tells of, with
 * register_task_watcher_events(): INIT and FREE then cost it nothing.
 */
#include <stdatomic.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

static struct taskwatch_sink listener; /* zero: the session's standard error */

/* snprintf is not for a callback: it may take a lock that the interrupted code holds. */
struct line {
    size_t length;
    char text[160];
};

static void put(struct line *line, const char *text)
{
    size_t length = strlen(text), room = sizeof line->text - line->length;

    if (length > room)
        length = room;
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

static void put_number(struct line *line, const char *key, unsigned long number)
{
    char digits[24], *first = digits + sizeof digits - 1;

    *first = '\0';
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    put(line, key);
    put(line, first);
}

static int send_event(struct notifier_block *nb, const struct task_watch *task, struct line *line)
{
    _Atomic uint64_t *sequence = taskwatch_shared(nb, sizeof *sequence);

    put_number(line, " seq=", sequence ? atomic_fetch_add(sequence, 1) : 0);
    put_number(line, " ns=", task->boottime_ns);
    put(line, "\n");
    return taskwatch_write(&listener, line->text, line->length);
}

static int watch_task(struct notifier_block *nb, unsigned long val, void *v)
{
    const struct task_watch *task = v;
    struct line line = {0};

    if (get_watch_flags(val) & (WATCH_BEFORE | WATCH_FAILED))
        return NOTIFY_DONE; /* an exec that will not load us is announced; nothing of 2006 knows that */
    switch (get_watch_event(val)) {
    case WATCH_TASK_CLONE:
        put_number(&line, "fork parent=", (unsigned long)task->ppid);
        put_number(&line, " child=", (unsigned long)task->pid);
        put_number(&line, " child_tgid=", (unsigned long)task->tgid);
        break;
    case WATCH_TASK_EXEC:
        put_number(&line, "exec pid=", (unsigned long)task->pid);
        put_number(&line, " tgid=", (unsigned long)task->tgid);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        put_number(&line, get_watch_event(val) == WATCH_TASK_UID ? "uid pid=" : "gid pid=", (unsigned long)task->pid);
        put_number(&line, " real=", task->ids.real);
        put_number(&line, " effective=", task->ids.effective);
        break;
    case WATCH_TASK_EXIT:
        put_number(&line, "exit pid=", (unsigned long)task->pid);
        put_number(&line, " tgid=", (unsigned long)task->tgid);
        put_number(&line, " code=", (unsigned long)task->exit_status);
        break;
    default:
        return NOTIFY_DONE;
    }
    send_event(nb, task, &line);
    return NOTIFY_OK;
}

static struct notifier_block process_events = {.notifier_call = watch_task};

__attribute__((constructor)) static void process_events_init(void)
{
    /* 2006: register_task_watcher(&process_events), and every event came */
    register_task_watcher_events(&process_events, WATCH_MASK_CLONE | WATCH_MASK_EXEC | WATCH_MASK_UID |
                                                      WATCH_MASK_GID | WATCH_MASK_EXIT);
}
