/* SPDX-License-Identifier: MIT */
/*
 * acct: what each process cost, told at its end, and a table by program at the end of the session.
 *
 *   output=PATH|-   a JSON record for each process that ends; absolute path, - is standard output. Without it
 *                   the table alone
 *   top=N           lines of the table, 0 to 56, the dearest first; 0: no table. 20
 *
 * A process that can run code at its end asks the kernel itself, getrusage(2) and /proc/self/io. One that
 * cannot (SIGKILL) is told on its behalf with the usage that its parent's wait was given. The table is kept
 * in the session's memory, so it needs no process to stay alive but the last one: when that is killed,
 * the records are all there is, unless a supervisor is there to tell it.
 *
 * An observer: it stops nothing.
 */
#define _GNU_SOURCE /* struct statx */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "json.h"
#include "output.h"
#include "raw.h"

enum { SAY_ALONE }; /* keys of taskwatch_once() */

#define RECORD_MAX 4096
#define COMMAND_MAX 255
#define NAME_MAX_IN_TABLE 23

static unsigned top = 20;
static bool with_records;
static char output_path[OUTPUT_PATH_MAX + 1];
static struct taskwatch_sink records, standard_error;
static const struct notifier_block *own_block;

/* This image. A forked child has its parent's until it executes something. */
static struct {
    char command[COMMAND_MAX + 1];
    unsigned row;          /* of the table, from 1; 0: not known yet */
    _Atomic uint64_t task; /* whose exec made it: others in it are forks that never exec'd */
    atomic_uint threads;   /* ended ones, of this process or the one that forked it */
    _Atomic pid_t told;    /* the process whose end was told */
    struct {               /* a main thread that ended before its process */
        _Atomic pid_t pid;
        uint64_t id, parent_id, start_ns;
    } left;
} image;

/* --- the session's table */

struct row {
    _Atomic uint32_t key; /* hash of the whole name; 0: free */
    atomic_uint processes, forks, failed, not_found, max_rss_kib;
    char name[NAME_MAX_IN_TABLE + 1];
    _Atomic uint64_t wall_ns, user_us, system_us;
};

#define ROWS ((TASKWATCH_SHARED_MAX - 64) / sizeof(struct row))
#define OTHERS 0 /* the row of those that came when all the others were taken */

static struct table {
    struct row row[ROWS];
    atomic_uint unknown; /* processes whose usage nobody could learn */
} alone;                 /* without a session: of this process, never printed */

_Static_assert(sizeof(struct table) <= TASKWATCH_SHARED_MAX, "the session has one page for it");
_Static_assert(ROWS == 56, "top=N is documented with this number");

static struct table *table(void)
{
    struct table *shared = taskwatch_shared(own_block, sizeof *shared);

    return shared ? shared : &alone;
}

/*
 * The row of a name, from 1 on, or OTHERS. Claimed with one store of the hash. Whoever finds a row without its name
 * writes it: the same bytes, so that nobody waits for a process that was killed in between.
 */
static unsigned row_of(struct table *t, const char *name)
{
    uint32_t key = 2166136261u; /* FNV-1a */

    for (const char *p = name; *p; p++)
        key = (key ^ (unsigned char)*p) * 16777619u;
    key |= 1;
    for (unsigned i = 1; i < ROWS; i++) {
        struct row *row = &t->row[i];
        uint32_t seen = 0;

        if (!atomic_compare_exchange_strong(&row->key, &seen, key) && seen != key)
            continue;
        if (row->name[0] == '\0')
            for (unsigned n = 0; n < NAME_MAX_IN_TABLE && name[n]; n++)
                ((volatile char *)row->name)[n] = name[n];
        return i;
    }
    return OTHERS;
}

/* --- a task's cell: which program it runs, for those who tell its end on its behalf */

struct cell {
    _Atomic uint8_t row; /* of the table; OTHERS: see the name */
    _Atomic uint8_t flags;
    char name[TASKWATCH_CELL_SIZE - 2]; /* its beginning, no NUL at the end if it is full */
};
_Static_assert(sizeof(struct cell) == TASKWATCH_CELL_SIZE, "");

#define CELL_EXECED 1 /* it has executed something */
#define CELL_TOLD 2   /* its end is in the table */

static void label(struct cell *cell, unsigned row, const char *name, unsigned flags)
{
    unsigned n = 0;

    for (; n < sizeof cell->name && name[n]; n++)
        ((volatile char *)cell->name)[n] = name[n];
    for (; n < sizeof cell->name; n++)
        ((volatile char *)cell->name)[n] = '\0';
    atomic_store(&cell->row, (uint8_t)row);
    atomic_store(&cell->flags, (uint8_t)flags);
}

/* --- what a process cost */

struct io {
    bool known;
    uint64_t rchar, wchar, read_bytes, write_bytes; /* proc(5) */
};

struct cost {
    const char *command; /* NULL: not known */
    char text[NAME_MAX_IN_TABLE + 1];
    unsigned row;
    bool execed, known, io_with_children;
    uint64_t wall_ns;
    struct rusage usage;
    struct io io;
};

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

static uint64_t value_of(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    uint64_t number = 0;

    if (!found)
        return 0;
    for (found += strlen(key); *found >= '0' && *found <= '9'; found++)
        number = number * 10 + (uint64_t)(*found - '0');
    return number;
}

static __attribute__((noinline)) struct io read_io(const char *path)
{
    struct io io = {.known = false};
    char text[256];
    long fd = raw_call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    long length;

    if (fd < 0)
        return io;
    length = raw_call(SYS_read, fd, (long)text, sizeof text - 1, 0, 0, 0);
    raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
    if (length <= 0)
        return io;
    text[length] = '\0';
    io.known = true;
    io.rchar = value_of(text, "rchar: ");
    io.wchar = value_of(text, "wchar: ");
    io.read_bytes = value_of(text, "\nread_bytes: ");
    io.write_bytes = value_of(text, "\nwrite_bytes: ");
    return io;
}

static bool is_zero(const struct rusage *usage)
{
    return usage->ru_minflt == 0 && microseconds(usage->ru_utime) + microseconds(usage->ru_stime) == 0;
}

/*
 * The kernel adds a reaped child's bytes to its parent's /proc/self/io, but not to the thread's: without other
 * threads that is what the process itself did. With them it is the process's, and said if children are in it.
 */
static __attribute__((noinline)) void ask(struct cost *cost, bool threads)
{
    struct rusage children = {0};

    cost->known = raw_call(SYS_getrusage, RUSAGE_SELF, (long)&cost->usage, 0, 0, 0, 0) == 0;
    cost->io = read_io(threads ? "/proc/self/io" : "/proc/thread-self/io");
    if (threads && raw_call(SYS_getrusage, RUSAGE_CHILDREN, (long)&children, 0, 0, 0, 0) == 0)
        cost->io_with_children = !is_zero(&children);
}

/* --- telling */

static void io_value(struct line *line, const char *key, const struct cost *cost, uint64_t value)
{
    if (cost->io.known)
        json_number(line, key, value);
    else {
        line_text(line, key);
        line_text(line, "null");
    }
}

static void usage_value(struct line *line, const char *key, const struct cost *cost, uint64_t value)
{
    if (cost->known)
        json_number(line, key, value);
    else {
        line_text(line, key);
        line_text(line, "null");
    }
}

static void status(struct line *line, const struct task_watch *task, unsigned long flags)
{
    if (flags & WATCH_STATUS_UNKNOWN) {
        line_text(line, ",\"status\":null,\"exit_code\":null,\"signal\":null");
        return;
    }
    json_integer(line, ",\"status\":", task->exit_status);
    json_integer(line, ",\"exit_code\":", task->exit_status >> 8 & 0xff);
    json_integer(line, ",\"signal\":", task->exit_status & 0x7f);
}

static void format(struct line *line, const struct task_watch *task, unsigned long flags,
                   const struct cost *cost)
{
    const struct rusage *u = &cost->usage;
    bool encode = cost->command && !utf8_is(cost->command);

    json_head(line, "acct", task);
    line_text(line, ",\"command\":");
    if (cost->command)
        json_string(line, cost->command, encode, SIZE_MAX);
    else
        line_text(line, "null");
    line_text(line, cost->execed ? ",\"execed\":true" : ",\"execed\":false");
    status(line, task, flags);
    json_number(line, ",\"wall\":", cost->wall_ns);
    usage_value(line, ",\"user\":", cost, microseconds(u->ru_utime) * 1000);
    usage_value(line, ",\"system\":", cost, microseconds(u->ru_stime) * 1000);
    usage_value(line, ",\"maxrss\":", cost, (uint64_t)u->ru_maxrss);
    usage_value(line, ",\"minflt\":", cost, (uint64_t)u->ru_minflt);
    usage_value(line, ",\"majflt\":", cost, (uint64_t)u->ru_majflt);
    usage_value(line, ",\"nvcsw\":", cost, (uint64_t)u->ru_nvcsw);
    usage_value(line, ",\"nivcsw\":", cost, (uint64_t)u->ru_nivcsw);
    io_value(line, ",\"rchar\":", cost, cost->io.rchar);
    io_value(line, ",\"wchar\":", cost, cost->io.wchar);
    io_value(line, ",\"read_bytes\":", cost, cost->io.read_bytes);
    io_value(line, ",\"write_bytes\":", cost, cost->io.write_bytes);
    if (cost->io_with_children)
        line_text(line, ",\"io_with_children\":true");
    if (flags & WATCH_ON_BEHALF)
        line_text(line, ",\"on_behalf\":true");
    if (flags & WATCH_AGAIN)
        line_text(line, ",\"again\":true");
    line_text(line, encode ? ",\"encoded\":[\"command\"]}\n" : "}\n");
}

/* In memory of its own: the thread may have little stack. Under a seccomp filter nothing can be written, which is counted. */
static __attribute__((noinline)) void write_record(const struct task_watch *task, unsigned long flags,
                                                   const struct cost *cost)
{
    bool quiet = task->context & TASKWATCH_QUIET;
    long memory =
        quiet ? -EPERM
              : raw_call(NR_MMAP, 0, RECORD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct line line = {(char *)memory, RECORD_MAX, 0};

    if (memory < 0 && memory > -4096) {
        taskwatch_write(&records, "\n", quiet);
        return;
    }
    format(&line, task, flags, cost);
    taskwatch_write(&records, line.text, line.length < line.capacity ? line.length : line.capacity);
    raw_call(SYS_munmap, memory, RECORD_MAX, 0, 0, 0, 0);
}

static void raise_to(atomic_uint *most, unsigned value)
{
    unsigned now = atomic_load(most);

    while (now < value && !atomic_compare_exchange_weak(most, &now, value))
        ;
}

static void add_to_table(const struct cost *cost)
{
    struct table *t = table();
    struct row *row = &t->row[cost->row < ROWS ? cost->row : OTHERS];

    atomic_fetch_add(&row->processes, 1);
    if (!cost->execed)
        atomic_fetch_add(&row->forks, 1);
    atomic_fetch_add(&row->wall_ns, cost->wall_ns);
    if (!cost->known) {
        atomic_fetch_add(&t->unknown, 1);
        return;
    }
    atomic_fetch_add(&row->user_us, microseconds(cost->usage.ru_utime));
    atomic_fetch_add(&row->system_us, microseconds(cost->usage.ru_stime));
    raise_to(&row->max_rss_kib, (unsigned)cost->usage.ru_maxrss);
}

/* --- the end of a process */

static pid_t own_pid(const struct task_watch *task)
{
    return task->context & TASKWATCH_QUIET ? 0 : (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

/* No other thread is left. Asked only of a thread that ends by itself. */
static __attribute__((noinline)) bool is_alone(void)
{
    struct statx of_threads;

    return raw_call(SYS_statx, AT_FDCWD, (long)"/proc/self/task", 0, STATX_NLINK, (long)&of_threads, 0) ==
               0 &&
           of_threads.stx_nlink <= 3; /* ".", ".." and this one */
}

static bool ends_thread_alone(const struct task_watch *task)
{
    return strcmp(task->call, "pthread_exit") == 0 || strcmp(task->call, "SYS_exit") == 0;
}

/*
 * True if with this EXIT of a task of this very process the process ends. Its main thread may end before it, and another
 * thread may end it, which then tells the main thread's end on its behalf.
 */
static bool ends_own_process(const struct task_watch *task, unsigned long flags, pid_t pid)
{
    bool main_thread = task->pid == task->tgid;

    if (flags & WATCH_ON_BEHALF) /* of a main thread that another one's exec cut off: the process goes on */
        return main_thread && strcmp(task->call, "execve") != 0;
    if (ends_thread_alone(task) && !is_alone()) {
        if (main_thread) {
            image.left.id = task->id;
            image.left.parent_id = task->parent_id;
            image.left.start_ns = task->start_ns;
            atomic_store(&image.left.pid, pid);
        }
        return false;
    }
    return main_thread || atomic_load(&image.left.pid) == pid;
}

static void describe_from_cell(struct cost *cost, const struct cell *cell)
{
    unsigned row = atomic_load(&cell->row);
    const char *name = cell->name;
    size_t most = sizeof cell->name;

    cost->row = row < ROWS ? row : OTHERS;
    cost->execed = atomic_load(&cell->flags) & CELL_EXECED;
    if (cost->row != OTHERS) {
        name = table()->row[cost->row].name;
        most = NAME_MAX_IN_TABLE;
    }
    for (size_t n = 0; n < most && name[n]; n++)
        cost->text[n] = name[n]; /* zero behind it: the session's memory may change under our eyes */
    cost->command = cost->text;
}

static void describe_from_image(struct cost *cost, const struct task_watch *task)
{
    cost->row = image.row;
    cost->command = image.command[0] ? image.command : NULL;
    cost->execed = atomic_load(&image.task) == task->id;
}

static __attribute__((noinline)) void tell_end(const struct task_watch *task, unsigned long flags, bool own)
{
    struct cost cost = {.wall_ns = 0};
    struct cell *cell = taskwatch_cell(task, own_block);

    if (task->start_ns && task->boottime_ns > task->start_ns)
        cost.wall_ns = task->boottime_ns - task->start_ns;
    if (own)
        describe_from_image(&cost, task);
    else if (cell)
        describe_from_cell(&cost, cell);
    if (own && !(task->context & TASKWATCH_QUIET))
        ask(&cost, atomic_load(&image.threads) != 0 || task->by != task->pid);
    else if (!own && task->size > offsetof(struct task_watch, usage) && task->usage) {
        cost.usage = *task->usage;
        cost.known = true;
    }
    if (with_records)
        write_record(task, flags, &cost);
    if (!cell || !(atomic_fetch_or(&cell->flags, CELL_TOLD) & CELL_TOLD))
        add_to_table(&cost);
}

/* The last thread of a process whose main thread has left tells of the process: once, so the record may be static. */
static void tell_end_without_main(const struct task_watch *last, unsigned long flags)
{
    static struct task_watch task;

    memcpy(&task, last, last->size < sizeof task ? last->size : sizeof task);
    task.pid = task.tgid;
    task.id = image.left.id;
    task.parent_id = image.left.parent_id;
    task.start_ns = image.left.start_ns;
    tell_end(&task, flags, true);
}

static void on_exit_event(const struct task_watch *task, unsigned long flags)
{
    pid_t pid = own_pid(task), nobody;
    bool vfork_child = task->context & TASKWATCH_IN_VFORK_CHILD;
    bool own = !(flags & WATCH_ON_BEHALF) || task->tgid == pid;

    if (!own || vfork_child) { /* another process; on our memory, so ours is left alone */
        if (task->pid == task->tgid)
            tell_end(task, flags, own);
        return;
    }
    if (task->pid != task->tgid)
        atomic_fetch_add(&image.threads, 1);
    if (!ends_own_process(task, flags, pid))
        return;
    nobody = atomic_load(&image.told);
    if ((nobody == pid && pid != 0) || !atomic_compare_exchange_strong(&image.told, &nobody, pid))
        return;
    if (task->pid == task->tgid)
        tell_end(task, flags, true);
    else
        tell_end_without_main(task, flags);
}

/* --- its beginning */

/* A child runs what its creator runs until it executes something. */
static void on_clone_event(const struct task_watch *task)
{
    struct cell *cell = task->clone_flags & CLONE_THREAD ? NULL : taskwatch_cell(task, own_block);

    if (cell)
        label(cell, image.row, image.command, 0);
}

/* --- exec */

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash && slash[1] ? slash + 1 : path ? path : "";
}

static void on_exec_event(const struct task_watch *task, unsigned long flags)
{
    struct cell *cell = taskwatch_cell(task, own_block);
    const char *name = base_name(task->path);

    if (flags & WATCH_FAILED && !(task->context & TASKWATCH_FORECAST)) {
        struct row *row = &table()->row[image.row];

        atomic_fetch_add(&row->failed, 1);
        if (task->error == ENOENT)
            atomic_fetch_add(&row->not_found, 1);
    } else if (flags & WATCH_FAILED) { /* the forecast is withdrawn */
        if (cell)
            label(cell, image.row, image.command, atomic_load(&image.task) == task->id ? CELL_EXECED : 0);
    } else if (flags & WATCH_BEFORE) { /* a forecast: that image will not tell its end itself */
        if (cell)
            label(cell, row_of(table(), name), name, CELL_EXECED);
    } else {
        for (unsigned n = 0; n < COMMAND_MAX && name[n]; n++)
            image.command[n] = name[n];
        image.row = row_of(table(), name);
        atomic_store(&image.task, task->id);
        if (cell)
            label(cell, image.row, name, CELL_EXECED);
    }
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    (void)nb;
    switch (get_watch_event(action)) {
    case WATCH_TASK_CLONE:
        on_clone_event(data);
        break;
    case WATCH_TASK_EXEC:
        on_exec_event(data, get_watch_flags(action));
        break;
    case WATCH_TASK_EXIT:
        on_exit_event(data, get_watch_flags(action));
        break;
    }
    return NOTIFY_DONE;
}

/* --- the table, printed by the session's last process */

#define LINE_WIDTH 128

static struct {
    char text[4000]; /* below what a pipe takes at once */
    struct line line;
    uint8_t order[ROWS];
} print;

static void flush(void)
{
    if (print.line.length)
        taskwatch_write(&standard_error, print.text, print.line.length);
    print.line = (struct line){print.text, sizeof print.text, 0};
}

static uint64_t cpu_us(const struct row *row)
{
    return atomic_load(&row->user_us) + atomic_load(&row->system_us);
}

static bool is_used(const struct row *row)
{
    return atomic_load(&row->processes) || atomic_load(&row->failed);
}

static bool dearer(const struct row *a, const struct row *b)
{
    uint64_t cost_a = cpu_us(a), cost_b = cpu_us(b);

    return cost_a != cost_b ? cost_a > cost_b : atomic_load(&a->wall_ns) > atomic_load(&b->wall_ns);
}

/* Right-aligned: `number` with `decimals` digits behind a point. */
static void column(struct line *line, uint64_t number, unsigned decimals, unsigned width)
{
    char digits[24];
    unsigned n = 0;

    do {
        if (n == decimals && n)
            digits[n++] = '.';
        digits[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number || n <= decimals);
    for (unsigned i = n; i < width; i++)
        line_char(line, ' ');
    while (n)
        line_char(line, digits[--n]);
}

static void print_row(const struct row *row, uint64_t all_us)
{
    struct line *line = &print.line;
    uint64_t us = cpu_us(row);

    if (line->length + LINE_WIDTH > line->capacity)
        flush();
    column(line, all_us ? (us * 1000 + all_us / 2) / all_us : 0, 1, 6);
    column(line, (us + 500) / 1000, 3, 12);
    column(line, (atomic_load(&row->wall_ns) + 500000) / 1000000, 3, 13);
    column(line, atomic_load(&row->max_rss_kib), 0, 12);
    column(line, atomic_load(&row->processes), 0, 10);
    column(line, atomic_load(&row->forks), 0, 7);
    column(line, atomic_load(&row->failed), 0, 7);
    line_char(line, ' ');
    for (unsigned n = 0; n < NAME_MAX_IN_TABLE && row->name[n]; n++)
        line_char(line, (unsigned char)row->name[n] < 0x20 || row->name[n] == 0x7f ? '?' : row->name[n]);
    line_char(line, '\n');
}

static void add_row(struct row *total, const struct row *row)
{
    atomic_fetch_add(&total->processes, atomic_load(&row->processes));
    atomic_fetch_add(&total->forks, atomic_load(&row->forks));
    atomic_fetch_add(&total->failed, atomic_load(&row->failed));
    atomic_fetch_add(&total->not_found, atomic_load(&row->not_found));
    atomic_fetch_add(&total->wall_ns, atomic_load(&row->wall_ns));
    atomic_fetch_add(&total->user_us, atomic_load(&row->user_us));
    atomic_fetch_add(&total->system_us, atomic_load(&row->system_us));
    raise_to(&total->max_rss_kib, atomic_load(&row->max_rss_kib));
}

/* Used rows, the dearest first. */
static unsigned sort(const struct table *t)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ROWS; i++) {
        unsigned at = count;

        if (!is_used(&t->row[i]))
            continue;
        for (; at > 0 && dearer(&t->row[i], &t->row[print.order[at - 1]]); at--)
            print.order[at] = print.order[at - 1];
        print.order[at] = (uint8_t)i;
        count++;
    }
    return count;
}

static void print_table(struct table *t)
{
    static struct row total = {.name = "total"}, rest = {.name = "(the rest)"};
    unsigned count = sort(t);
    struct line *line = &print.line;

    for (unsigned i = 0; i < count; i++)
        add_row(&total, &t->row[print.order[i]]);
    flush();
    line_text(line,
              " % cpu  cpu seconds wall seconds max RSS KiB processes  forks failed program\n"
              "------ ------------ ------------ ----------- --------- ------ ------ ----------------\n");
    for (unsigned i = 0; i < count; i++) {
        if (i < top)
            print_row(&t->row[print.order[i]], cpu_us(&total));
        else
            add_row(&rest, &t->row[print.order[i]]);
    }
    if (is_used(&rest))
        print_row(&rest, cpu_us(&total));
    print_row(&total, cpu_us(&total));
    flush();
    line_number(line, atomic_load(&total.forks));
    line_text(line, " forks never exec'd; ");
    line_number(line, atomic_load(&total.failed));
    line_text(line, " execs failed, ");
    line_number(line, atomic_load(&total.not_found));
    line_text(line, " of them with ENOENT (a search of PATH)\n");
    if (atomic_load(&t->unknown)) {
        line_number(line, atomic_load(&t->unknown));
        line_text(line, " processes were ended and nobody could learn what they had used\n");
    }
    flush();
}

static void fini(int reason)
{
    static const char text[] = "acct: no session memory: there is no table, only the records\n";

    if (top == 0)
        return;
    if (table() == &alone) {
        if (taskwatch_once(own_block, SAY_ALONE))
            taskwatch_write(&standard_error, text, sizeof text - 1);
    } else if (reason == TASKWATCH_FINI_SESSION) {
        print_table(table());
    }
}

static const char *init(struct notifier_block *nb, char *options)
{
    uint64_t number;
    const char *refusal;
    char *key, *value;

    own_block = nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "output") == 0) {
            if ((refusal = output_read(key, value, &output_path)) != NULL)
                return refusal;
            with_records = true;
        } else if (strcmp(key, "top") == 0) {
            if (!option_number(value, 0, ROWS, &number))
                return option_refuse(key, value, "not a number of lines", "0 to 56");
            top = (unsigned)number;
        } else {
            return option_refuse("option", key, "unknown", "output, top");
        }
    }
    taskwatch_sink_init(&standard_error, NULL, 0);
    for (unsigned n = 0; n < sizeof "(others)" - 1; n++)
        ((volatile char *)table()->row[OTHERS].name)[n] = "(others)"[n];
    return with_records ? output_open(&records, nb, "output", output_path) : NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "acct",
    .description = "tells what each process cost, and a table by program at the end",
    .events = WATCH_MASK_CLONE | WATCH_MASK_EXEC | WATCH_MASK_EXIT | WATCH_MASK_FAILED,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
    .fini = fini,
};
