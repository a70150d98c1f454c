/* SPDX-License-Identifier: MIT */
/*
 * trace: writes each event as a line, for people or as JSON. This file: options, which events are
 * written, where to. How a line looks is in trace_text.c and trace_json.c.
 *
 *   format=text|json     text
 *   output=PATH|-        the session's standard error; absolute path, %p is the writing process's id, %% a
 *                        percent sign; - is standard output
 *   events=LIST          init,clone,exec,uid,gid,exit,free, process (clone, exec, exit), all, none;
 *                        text: process,uid,gid; json: all
 *   argv=0|1             arguments of EXEC: 1
 *   threads=0|1          tasks that are threads: text 0, json 1
 *   color=auto|always|never
 *
 * An observer: it sees what others stopped, and stops nothing.
 */
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "output.h"
#include "raw.h"
#include "trace.h"

/* Pipes keep lines apart up to so many bytes, PIPE_BUF of pipe(7). */
#define STREAM_LINE_MAX 4096
/* Lines up to this length are made on the stack: all but some EXEC. */
#define SHORT_LINE 448
/* EXEC in JSON: the folder, then the line. A mapping, of which only the touched pages cost. */
#define FOLDER_MAX 4096
#define SCRATCH (4 * 4096)
#define PATH_PATTERN_MAX OUTPUT_PATH_MAX
#define PATH_EXPANDED_MAX (PATH_PATTERN_MAX + 100)

static struct {
    unsigned events; /* WATCH_MASK_ bits */
    bool json, argv, threads, color;
    bool per_process; /* output has %p */
    char pattern[PATH_PATTERN_MAX + 1];
} settings;

/*
 * Two, so that a forked child with %p can name its own file while another thread of it still reads the name
 * that it got from its parent.
 */
static struct output {
    char path[PATH_EXPANDED_MAX];
    struct taskwatch_sink sink;
} outputs[2];
static atomic_uint current_output;
static _Atomic pid_t output_owner;

static const struct notifier_block *own_block;
static _Atomic uint64_t own_told; /* of the lost records, where there is no session */
static _Atomic uint64_t session;  /* for fini, which is given no record */

/* --- where to */

/* False if `ret_path` is too short. */
static bool expand(const char *pattern, pid_t pid, char *ret_path, size_t size)
{
    struct line line = {ret_path, size, 0};

    for (; *pattern; pattern++) {
        if (*pattern != '%')
            line_char(&line, *pattern);
        else if (*++pattern == 'p')
            line_integer(&line, pid);
        else
            line_char(&line, '%');
    }
    line_char(&line, '\0');
    return line.length <= size;
}

static struct taskwatch_sink *sink_for(const struct task_watch *task)
{
    const uint32_t not_here = TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS | TASKWATCH_QUIET;

    /* A child on its parent's memory writes to its parent's file. */
    if (settings.per_process && !(task->context & not_here)) {
        pid_t pid = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
        pid_t owner = atomic_load(&output_owner);

        /* One thread renames; another one's line may go to the parent's file meanwhile. */
        if (owner != pid && atomic_compare_exchange_strong(&output_owner, &owner, pid)) {
            unsigned next = !atomic_load(&current_output);
            struct output *output = &outputs[next];

            if (expand(settings.pattern, pid, output->path, sizeof output->path)) {
                taskwatch_sink_init(&output->sink, output->path, 0);
                atomic_store(&current_output, next);
            }
        }
    }
    return &outputs[atomic_load(&current_output) & 1].sink;
}

/* --- one line */

static void format(struct line *line, const struct trace_record *record)
{
    line->length = 0;
    if (settings.json)
        trace_json(line, record);
    else
        trace_text(line, record);
}

static char *map(size_t size)
{
    long address =
        raw_call(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return address < 0 && address > -4096 ? NULL : (char *)address;
}

static void unmap(char *memory, size_t size)
{
    raw_call(SYS_munmap, (long)memory, (long)size, 0, 0, 0, 0);
}

static int write_line(struct taskwatch_sink *sink, const struct line *line)
{
    size_t length = line->length < line->capacity ? line->length : line->capacity;

    return taskwatch_write(sink, line->text, length);
}

/* `line` was too short, or is longer than its sink takes at once: cut, or made anew where there is room. */
static __attribute__((noinline)) int write_long(struct taskwatch_sink *sink, struct trace_record *record,
                                                struct line *line)
{
    size_t needed = line->length;
    char *memory = NULL;
    int result;

    if (needed > STREAM_LINE_MAX && taskwatch_sink_is_stream(sink))
        record->limit = needed = STREAM_LINE_MAX;
    if (needed > line->capacity && !(record->task->context & TASKWATCH_QUIET))
        memory = map(needed);
    if (memory)
        *line = (struct line){memory, needed, 0};
    else if (needed > line->capacity)
        record->limit = line->capacity;
    format(line, record);
    if (line->length > line->capacity) { /* the program's strings have grown between the passes */
        record->limit = line->capacity;
        format(line, record);
    }
    result = write_line(sink, line);
    if (memory)
        unmap(memory, needed);
    return result;
}

static int write_in(struct taskwatch_sink *sink, struct trace_record *record, char *memory, size_t size)
{
    struct line line = {memory, size, 0};

    format(&line, record);
    if (line.length > line.capacity || line.length > STREAM_LINE_MAX)
        return write_long(sink, record, &line);
    return write_line(sink, &line);
}

static __attribute__((noinline)) int write_short(struct taskwatch_sink *sink, struct trace_record *record)
{
    char memory[SHORT_LINE];

    return write_in(sink, record, memory, sizeof memory);
}

static int write_record(struct taskwatch_sink *sink, struct trace_record *record)
{
    char *scratch = NULL;
    int result;

    if (record->event == WATCH_TASK_EXEC && settings.json && !(record->task->context & TASKWATCH_QUIET))
        scratch = map(SCRATCH);
    if (!scratch)
        return write_short(sink, record);
    if (raw_call(SYS_getcwd, (long)scratch, FOLDER_MAX, 0, 0, 0, 0) > 0)
        record->cwd = scratch;
    result = write_in(sink, record, scratch + FOLDER_MAX, SCRATCH - FOLDER_MAX);
    unmap(scratch, SCRATCH);
    return result;
}

/* Once for each lost record in the session, by whoever can write again first. */
static void tell_lost(struct taskwatch_sink *sink, const struct task_watch *task)
{
    int error;
    uint64_t lost = taskwatch_lost(&error);
    _Atomic uint64_t *told;
    uint64_t before;
    struct trace_record record = {
        .task = task, .event = TRACE_LOST, .color = settings.color, .lost_error = error};

    if (lost == 0)
        return;
    told = taskwatch_shared(own_block, sizeof *told);
    if (!told)
        told = &own_told;
    before = atomic_load(told);
    if (lost <= before || !atomic_compare_exchange_strong(told, &before, lost))
        return;
    record.lost = lost - before;
    if (write_short(sink, &record) != 0)
        atomic_fetch_sub(told, lost - before - 1); /* with the next; this one has counted itself */
}

/* --- which events */

static unsigned mask_of(unsigned long event)
{
    switch (event) {
    case WATCH_TASK_INIT:
        return WATCH_MASK_INIT;
    case WATCH_TASK_CLONE:
        return WATCH_MASK_CLONE;
    case WATCH_TASK_EXEC:
        return WATCH_MASK_EXEC;
    case WATCH_TASK_UID:
        return WATCH_MASK_UID;
    case WATCH_TASK_GID:
        return WATCH_MASK_GID;
    case WATCH_TASK_EXIT:
        return WATCH_MASK_EXIT;
    case WATCH_TASK_FREE:
        return WATCH_MASK_FREE;
    default:
        return 0;
    }
}

static bool is_wanted(const struct trace_record *record)
{
    unsigned mask = mask_of(record->event);

    if (settings.json)
        return (settings.events & mask) && (settings.threads || record->task->pid == record->task->tgid);
    /* People who ask for creations want to see those that failed, once: INIT tells a veto, FREE a refusal. */
    if (record->event == WATCH_TASK_INIT && trace_vetoed(record))
        return settings.events & (WATCH_MASK_INIT | WATCH_MASK_CLONE);
    if (trace_refused(record))
        return settings.events & (WATCH_MASK_CLONE | WATCH_MASK_FREE);
    if (record->event == WATCH_TASK_FREE && trace_vetoed(record))
        return false;
    if (record->event == WATCH_TASK_CLONE && trace_vetoed(record))
        return settings.events & WATCH_MASK_CLONE;
    return (settings.events & mask) && (settings.threads || record->task->pid == record->task->tgid);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    struct trace_record record = {.task = task,
                                  .event = get_watch_event(action),
                                  .flags = get_watch_flags(action),
                                  .with_argv = settings.argv,
                                  .color = settings.color};
    struct taskwatch_sink *sink;

    (void)nb;
    if (!is_wanted(&record))
        return NOTIFY_DONE;
    atomic_store_explicit(&session, task->session, memory_order_relaxed);
    sink = sink_for(task);
    if (write_record(sink, &record) == 0)
        tell_lost(sink, task);
    return NOTIFY_DONE;
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The last chance to say what could not be written. */
static void fini(int reason)
{
    struct task_watch nobody = {.size = sizeof nobody};

    (void)reason;
    if (taskwatch_lost(NULL) == 0) /* each process of a session comes by here */
        return;
    nobody.session = atomic_load(&session);
    nobody.pid = nobody.tgid = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    nobody.ppid = (pid_t)raw_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
    nobody.by = (pid_t)raw_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
    nobody.realtime_ns = nanoseconds(CLOCK_REALTIME);
    nobody.boottime_ns = nanoseconds(CLOCK_BOOTTIME);
    tell_lost(sink_for(&nobody), &nobody);
}

/* --- options */

static const char *read_events(char *list, unsigned *ret_events)
{
    static const struct {
        char name[8];
        unsigned events;
    } known[] = {
        {"init", WATCH_MASK_INIT}, {"clone", WATCH_MASK_CLONE},
        {"exec", WATCH_MASK_EXEC}, {"uid", WATCH_MASK_UID},
        {"gid", WATCH_MASK_GID},   {"exit", WATCH_MASK_EXIT},
        {"free", WATCH_MASK_FREE}, {"process", WATCH_MASK_CLONE | WATCH_MASK_EXEC | WATCH_MASK_EXIT},
        {"all", WATCH_MASK_ALL},   {"none", 0},
    };
    unsigned events = 0;

    for (char *item; (item = option_next_item(&list)) != NULL;) {
        size_t i = 0;

        while (i < sizeof known / sizeof known[0] && strcmp(known[i].name, item) != 0)
            i++;
        if (i == sizeof known / sizeof known[0])
            return option_refuse("events", item, "not an event",
                                 "init, clone, exec, uid, gid, exit, free, process, all, none");
        events |= known[i].events;
    }
    *ret_events = events;
    return NULL;
}

static const char *read_output(const char *value)
{
    static const char accepted[] =
        "an absolute path (%p: process id, %%: percent sign), - for standard output";

    if (strcmp(value, "-") != 0 && value[0] != '/')
        return option_refuse("output", value, "not an absolute path, and programs change their folder",
                             accepted);
    if (strlen(value) > PATH_PATTERN_MAX)
        return option_refuse("output", value, "longer than 1000 bytes", accepted);
    for (const char *p = value; *p; p++) {
        if (*p != '%')
            continue;
        p++;
        if (*p != 'p' && *p != '%')
            return option_refuse("output", value, "a path with another % than %p and %%", accepted);
        settings.per_process |= *p == 'p';
    }
    strcpy(settings.pattern, value);
    return NULL;
}

static const char *open_output(void)
{
    struct output *output = &outputs[0];
    const char *path = settings.pattern[0] ? output->path : NULL;

    if (settings.per_process)
        atomic_store(&output_owner, (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0));
    if (!expand(settings.pattern, atomic_load(&output_owner), output->path, sizeof output->path))
        return option_refuse("output", settings.pattern, "too long",
                             "less than 1100 bytes with its process id");
    return output_open(&output->sink, "output", path);
}

static bool wants_color(const char *choice)
{
    const char *no_color = environment("NO_COLOR"), *terminal = environment("TERM");

    if (strcmp(choice, "auto") != 0)
        return strcmp(choice, "always") == 0;
    if (settings.json || (no_color && *no_color) || (terminal && strcmp(terminal, "dumb") == 0))
        return false;
    return taskwatch_sink_is_terminal(&outputs[0].sink);
}

static const char *init(struct notifier_block *nb, char *options)
{
    const char *events = NULL, *color = "auto", *refusal;
    int threads = -1, argv = 1;
    char *key, *value;

    own_block = nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "format") == 0) {
            settings.json = strcmp(value, "json") == 0;
            if (!settings.json && strcmp(value, "text") != 0)
                return option_refuse(key, value, "not a format", "text, json");
        } else if (strcmp(key, "output") == 0) {
            if ((refusal = read_output(value)) != NULL)
                return refusal;
        } else if (strcmp(key, "events") == 0) {
            if ((refusal = read_events(value, &settings.events)) != NULL)
                return refusal;
            events = value;
        } else if (strcmp(key, "argv") == 0) {
            if ((argv = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
        } else if (strcmp(key, "threads") == 0) {
            if ((threads = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
        } else if (strcmp(key, "color") == 0) {
            color = value;
            if (strcmp(value, "auto") != 0 && strcmp(value, "always") != 0 && strcmp(value, "never") != 0)
                return option_refuse(key, value, "not a choice", "auto, always, never");
        } else {
            return option_refuse("option", key, "unknown", "format, output, events, argv, threads, color");
        }
    }
    if (!events)
        settings.events =
            settings.json ? WATCH_MASK_ALL : WATCH_MASK_ALL & ~(WATCH_MASK_INIT | WATCH_MASK_FREE);
    settings.threads = threads < 0 ? settings.json : threads;
    settings.argv = argv;
    if ((refusal = open_output()) != NULL)
        return refusal;
    settings.color = !settings.json && wants_color(color);
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "trace",
    .description = "writes each event as a line of text or JSON",
    .events = WATCH_MASK_ALL,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
    .fini = fini,
};
