/* SPDX-License-Identifier: MIT */
/*
 * The layout and the values that compiled watchers rely on, for 64-bit machines. Compiled as C99 to C17 and
 * C++11 to C++20 by headers.sh; a change of any of these needs a new TASKWATCH_ABI_VERSION. Fields are added
 * at the end of a struct only, so its size here is the least that a later version may have.
 */
#include <taskwatch/taskwatch.h>

/* C99 has no static assertion: an array of -1 elements is an error in each of these languages. */
#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define HOLDS(condition) extern char JOIN(line_, __LINE__)[(condition) ? 1 : -1]
#define AT(type, field, offset) HOLDS(offsetof(struct type, field) == (offset))

AT(notifier_block, notifier_call, 0);
AT(notifier_block, next, 8);
AT(notifier_block, priority, 16);
HOLDS(sizeof(struct notifier_block) == 24);

AT(task_watch, size, 0);
AT(task_watch, context, 4);
AT(task_watch, pid, 8);
AT(task_watch, tgid, 12);
AT(task_watch, ppid, 16);
AT(task_watch, by, 20);
AT(task_watch, id, 24);
AT(task_watch, parent_id, 32);
AT(task_watch, session, 40);
AT(task_watch, call, 48);
AT(task_watch, clone_flags, 56);
AT(task_watch, exit_status, 64);
AT(task_watch, error, 68);
AT(task_watch, path, 72);
AT(task_watch, argv, 80);
AT(task_watch, ids, 88);
AT(task_watch, old_ids, 104);
AT(task_watch, realtime_ns, 120);
AT(task_watch, boottime_ns, 128);
AT(task_watch, start_ns, 136);
AT(task_watch, verdict, 144);
AT(task_watch, stopped_by, 152);
AT(task_watch, usage, 160);
HOLDS(sizeof(struct task_watch) >= 168);
HOLDS(sizeof(struct task_watch_ids) == 16);

AT(taskwatch_watcher, abi_version, 0);
AT(taskwatch_watcher, size, 4);
AT(taskwatch_watcher, name, 8);
AT(taskwatch_watcher, description, 16);
AT(taskwatch_watcher, events, 24);
AT(taskwatch_watcher, priority, 28);
AT(taskwatch_watcher, init, 32);
AT(taskwatch_watcher, notify, 40);
AT(taskwatch_watcher, fini, 48);
HOLDS(sizeof(struct taskwatch_watcher) >= 56);

AT(taskwatch_sink, path, 0);
AT(taskwatch_sink, dev, 8);
AT(taskwatch_sink, ino, 16);
AT(taskwatch_sink, rdev, 24);
AT(taskwatch_sink, fd, 32);
AT(taskwatch_sink, state, 36);
HOLDS(sizeof(struct taskwatch_sink) == 40);

HOLDS(TASKWATCH_ABI_VERSION == 1);
HOLDS(WATCH_TASK_INIT == 1 && WATCH_TASK_CLONE == 2 && WATCH_TASK_EXEC == 3 && WATCH_TASK_UID == 4);
HOLDS(WATCH_TASK_GID == 5 && WATCH_TASK_EXIT == 0xfffe && WATCH_TASK_FREE == 0xffff);
HOLDS(WATCH_ON_BEHALF == 0x10000 && WATCH_AGAIN == 0x20000 && WATCH_ADOPTED == 0x40000);
HOLDS(WATCH_UNCHANGED == 0x80000 && WATCH_STOPPED == 0x100000 && WATCH_BEFORE == 0x200000);
HOLDS(WATCH_FAILED == 0x400000 && WATCH_STATUS_UNKNOWN == 0x800000);
HOLDS(get_watch_event(WATCH_TASK_FREE | WATCH_FAILED) == WATCH_TASK_FREE);
HOLDS(get_watch_flags(WATCH_TASK_FREE | WATCH_FAILED) == WATCH_FAILED);
HOLDS(NOTIFY_DONE == 0 && NOTIFY_OK == 1 && NOTIFY_STOP_MASK == 0x8000 && NOTIFY_BAD == 0x8002);
HOLDS(NOTIFY_STOP == 0x8001);
HOLDS(WATCH_PRIORITY_OBSERVER < -2147483647);
HOLDS(TASKWATCH_CELL_SIZE == 16 && TASKWATCH_SHARED_MAX == 4096);

/* The functions of the header are used, so that they are compiled. */
int layout_uses(char **options, char **value);
int layout_uses(char **options, char **value)
{
    return notifier_to_errno(notifier_from_errno(-1)) + (taskwatch_next_option(options, value) != 0);
}
