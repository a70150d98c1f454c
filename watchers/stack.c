/* SPDX-License-Identifier: MIT */
/*
 * stack: who did it. At the events asked for, the call stack of the thread that acts.
 *
 *   events=LIST     init, clone, exec, uid, gid, exit: init. exec is told before the call, at its call site
 *   depth=N         at most so many frames, 1 to 256: 64
 *   symbols=later|now   names of functions: later, by taskwatch-symbolize; or now, as far as the dynamic linker knows
 *                   them (exported functions)
 *   output=PATH|-   JSON Lines; the session's standard error. Absolute path, - is standard output
 *   folded=PATH|-   a line for each stack as flame graphs want it, root first; without output= there are no JSON Lines then
 *
 * Never in a child on its parent's memory (vfork): it is told without frames. How a stack is walked: stack_walk.c.
 * An observer.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "json.h"
#include "output.h"
#include "raw.h"
#include "stack.h"

/* A walk has memory of its own: the thread may have 16 KiB in all. */
#define OUTPUT_MAX (24 * 1024)
#define WALK_STACK (32 * 1024)
#define AREAS 4
enum { FOLDED_OPENED }; /* keys of taskwatch_once() */

/* Pipes keep lines apart up to so many bytes, PIPE_BUF of pipe(7). */
#define STREAM_LINE_MAX 4096

struct area {
    char stack[WALK_STACK];
    struct stack found;
    struct stack_registers registers;
    const struct task_watch *task;
    unsigned long event;
    const char *unknown; /* why there are no frames */
    char program[OUTPUT_PATH_MAX + 1];
    char text[OUTPUT_MAX];
};

static unsigned depth = 64;
static bool names_now, as_json = true, as_folded;
static char output_path[OUTPUT_PATH_MAX + 1], folded_path[OUTPUT_PATH_MAX + 1];
static struct taskwatch_sink json_sink, folded_sink;

static const struct {
    char name[6];
    unsigned long event;
    unsigned mask;
} events[] = {
    {"init", WATCH_TASK_INIT, WATCH_MASK_INIT},
    {"clone", WATCH_TASK_CLONE, WATCH_MASK_CLONE},
    {"exec", WATCH_TASK_EXEC, WATCH_MASK_EXEC | WATCH_MASK_BEFORE},
    {"uid", WATCH_TASK_UID, WATCH_MASK_UID},
    {"gid", WATCH_TASK_GID, WATCH_MASK_GID},
    {"exit", WATCH_TASK_EXIT, WATCH_MASK_EXIT},
};
#define EVENTS (sizeof events / sizeof events[0])

static const char *event_name(unsigned long event)
{
    size_t i = 0;

    while (i + 1 < EVENTS && events[i].event != event)
        i++;
    return events[i].name;
}

/* --- memory for a walk */

/* Mapped once and used again: those that are free. */
static struct area *_Atomic areas[AREAS];

static struct area *take_area(void)
{
    long address;

    for (unsigned i = 0; i < AREAS; i++) {
        struct area *area = atomic_exchange(&areas[i], NULL);

        if (area)
            return area;
    }
    address = raw_call(SYS_mmap, 0, sizeof(struct area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    return address < 0 && address > -4096 ? NULL : (struct area *)address;
}

static void give_area_back(struct area *area)
{
    for (unsigned i = 0; i < AREAS; i++) {
        struct area *none = NULL;

        if (atomic_compare_exchange_strong(&areas[i], &none, area))
            return;
    }
    raw_call(SYS_munmap, (long)area, sizeof *area, 0, 0, 0, 0);
}

/* --- formats */

static const char *path_of(const struct area *area, int module)
{
    const char *path = area->found.modules[module].path;

    return path[0] ? path : area->program;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

static void hex(struct line *line, uintptr_t number)
{
    int digits = 1;

    while (digits < 16 && number >> (4 * digits))
        digits++;
    line_text(line, "0x");
    line_hex(line, number, digits);
}

static void json_address(struct line *line, const char *key, uintptr_t number)
{
    line_text(line, key);
    line_char(line, '"');
    hex(line, number);
    line_char(line, '"');
}

static void json_frame(struct line *line, const struct area *area, const struct stack_frame *frame)
{
    json_address(line, "{\"pc\":", frame->pc);
    if (frame->module < 0) {
        line_text(line, ",\"module\":null");
    } else {
        json_integer(line, ",\"module\":", frame->module);
        json_address(line, ",\"offset\":", frame->pc - area->found.modules[frame->module].bias);
    }
    if (frame->interrupted)
        line_text(line, ",\"interrupted\":true");
    if (frame->function) {
        json_text(line, ",\"function\":", frame->function);
        json_address(line, ",\"in_function\":", frame->in_function);
    }
    line_char(line, '}');
}

static void json_module(struct line *line, const struct area *area, unsigned number, bool *encoded)
{
    const struct stack_module *module = &area->found.modules[number];
    const char *path = path_of(area, (int)number);
    bool encode = !utf8_is(path);

    *encoded |= encode;
    line_text(line, "{\"path\":");
    json_string(line, path, encode, SIZE_MAX);
    line_text(line, ",\"build_id\":");
    if (module->build_id_length) {
        line_char(line, '"');
        for (unsigned i = 0; i < module->build_id_length; i++)
            line_hex(line, module->build_id[i], 2);
        line_text(line, "\"}");
    } else {
        line_text(line, "null}");
    }
}

static void format_json(struct line *line, const struct area *area, unsigned frames)
{
    bool encoded = false;

    line->length = 0;
    json_head(line, "stack", area->task);
    json_text(line, ",\"of\":", event_name(area->event));
    json_text(line, ",\"call\":", area->task->call);
    if (area->unknown) {
        json_text(line, ",\"frames\":null,\"why\":", area->unknown);
    } else {
        line_text(line, ",\"frames\":[");
        for (unsigned i = 0; i < frames; i++) {
            if (i)
                line_char(line, ',');
            json_frame(line, area, &area->found.frames[i]);
        }
        line_text(line, "],\"modules\":[");
        for (unsigned i = 0; i < area->found.module_count; i++) {
            if (i)
                line_char(line, ',');
            json_module(line, area, i, &encoded);
        }
        line_char(line, ']');
        if (area->found.more || frames < area->found.frame_count)
            line_text(line, ",\"truncated\":[\"frames\"]");
        if (area->found.broken)
            line_text(line, ",\"broken\":true");
    }
    line_text(line, encoded ? ",\"encoded\":[\"path\"]}\n" : "}\n");
}

static void write_json(struct area *area)
{
    struct line line = {area->text, sizeof area->text, 0};
    unsigned frames = area->found.frame_count;

    format_json(&line, area, frames);
    if (line.length > STREAM_LINE_MAX && taskwatch_sink_is_stream(&json_sink))
        line.capacity = STREAM_LINE_MAX;
    while (line.length > line.capacity && frames > 0) { /* the innermost ones stay */
        frames -= (frames + 7) / 8;
        format_json(&line, area, frames);
    }
    if (line.length <= line.capacity)
        taskwatch_write(&json_sink, line.text, line.length);
}

/* A frame's name, without the two characters that mean something in a folded stack. */
static void folded_name(struct line *line, const char *text)
{
    for (; *text; text++)
        line_char(line, *text == ';' || (unsigned char)*text <= ' ' ? '_' : *text);
}

static void write_folded(struct area *area)
{
    struct line line = {area->text, sizeof area->text, 0};

    if (area->unknown)
        return;
    folded_name(&line, base_name(area->program));
    for (unsigned i = area->found.frame_count; i-- > 0;) {
        const struct stack_frame *frame = &area->found.frames[i];

        line_char(&line, ';');
        if (frame->function) {
            folded_name(&line, frame->function);
        } else if (frame->module < 0) {
            line_text(&line, "[unknown]");
        } else {
            folded_name(&line, base_name(path_of(area, frame->module)));
            line_char(&line, '+');
            hex(&line, frame->pc - area->found.modules[frame->module].bias);
        }
    }
    line_char(&line, ';');
    folded_name(&line, area->task->call);
    line_text(&line, " 1\n");
    if (line.length <= line.capacity)
        taskwatch_write(&folded_sink, line.text, line.length);
}

/* --- one event */

/* On the area's stack, with all signals blocked. */
static void tell(void *argument)
{
    struct area *area = argument;
    long length = raw_call(SYS_readlink, (long)"/proc/self/exe", (long)area->program,
                           sizeof area->program - 1, 0, 0, 0);

    area->program[length > 0 ? length : 0] = '\0';
    area->found.frame_count = 0;
    if (!area->unknown)
        stack_walk(&area->registers, depth, names_now, &area->found);
    if (as_json)
        write_json(area);
    if (as_folded)
        write_folded(area);
}

/* Calls function(argument) on another stack. */
static __attribute__((noinline)) void call_on(char *top, void (*function)(void *), void *argument)
{
    __asm__ volatile(
        "movq %%rsp, %%rbx\n\t"
        "movq %[top], %%rsp\n\t"
        "callq *%[function]\n\t"
        "movq %%rbx, %%rsp"
        : [function] "+r"(function), "+D"(argument)
        : [top] "r"(top)
        : "rbx", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15");
}

/* What a call keeps, as it is right here; the walk begins in the frame of whoever this is inlined into. */
static inline __attribute__((always_inline)) void read_registers(struct stack_registers *r)
{
    __asm__ volatile(
        "movq %%rbx, 0(%0)\n\t"
        "movq %%rbp, 8(%0)\n\t"
        "movq %%rsp, 16(%0)\n\t"
        "movq %%r12, 24(%0)\n\t"
        "movq %%r13, 32(%0)\n\t"
        "movq %%r14, 40(%0)\n\t"
        "movq %%r15, 48(%0)\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "movq %%rax, 56(%0)\n"
        "1:"
        :
        : "r"(r)
        : "rax", "memory");
}

static bool is_wanted(const struct task_watch *task, unsigned long action)
{
    if (get_watch_event(action) == WATCH_TASK_EXEC)
        return (action & WATCH_BEFORE) && !(task->context & TASKWATCH_FORECAST);
    /* A task that tells another's end, or repeats a call as refused, did not do it. */
    return !(action & (WATCH_BEFORE | WATCH_FAILED | WATCH_ON_BEHALF));
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    uint64_t all = ~0ull, before = 0;
    struct area *area;
    bool entered = false;

    (void)nb;
    if (!is_wanted(task, action) || (task->context & TASKWATCH_QUIET))
        return NOTIFY_DONE;
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&before, 8, 0, 0);
    area = take_area();
    if (area) {
        area->task = task;
        area->event = get_watch_event(action);
        area->unknown = NULL;
        if (task->context & (TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS))
            area->unknown = "in a child on its parent's memory";
        else if (!(entered = stack_enter((int)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0))))
            area->unknown = "forked while another thread's stack was walked";
        read_registers(&area->registers);
        call_on(area->stack + sizeof area->stack, tell, area);
        if (entered)
            stack_leave();
        give_area_back(area);
    }
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&before, 0, 8, 0, 0);
    return NOTIFY_DONE;
}

/* --- options */

static const char *read_events(char *list, unsigned *ret_mask)
{
    unsigned mask = 0;

    for (char *item; (item = option_next_item(&list)) != NULL;) {
        size_t i = 0;

        while (i < EVENTS && strcmp(events[i].name, item) != 0)
            i++;
        if (i == EVENTS)
            return option_refuse("events", item, "not an event", "init, clone, exec, uid, gid, exit");
        mask |= events[i].mask;
    }
    *ret_mask = mask;
    return NULL;
}

static const char *init(struct notifier_block *nb, char *options);

/* Not constant: which events are wanted is an option, and those that are not cost nothing. */
__attribute__((visibility("default"))) struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "stack",
    .description = "tells the call stack of whoever forks, executes or changes ids",
    .events = WATCH_MASK_INIT,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
};

static const char *init(struct notifier_block *nb, char *options)
{
    const char *refusal = NULL;
    bool output_given = false;
    uint64_t number;
    char *key, *value;

    while (refusal == NULL && (key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "events") == 0) {
            refusal = read_events(value, &taskwatch_watcher.events);
        } else if (strcmp(key, "depth") == 0) {
            if (!option_number(value, 1, STACK_FRAMES_MAX, &number))
                return option_refuse(key, value, "not a number of frames", "1 to 256");
            depth = (unsigned)number;
        } else if (strcmp(key, "symbols") == 0) {
            names_now = strcmp(value, "now") == 0;
            if (!names_now && strcmp(value, "later") != 0)
                return option_refuse(key, value, "no time to look for names", "now, later");
        } else if (strcmp(key, "output") == 0) {
            refusal = output_read(key, value, &output_path);
            output_given = true;
        } else if (strcmp(key, "folded") == 0) {
            refusal = output_read(key, value, &folded_path);
            as_folded = true;
        } else {
            return option_refuse("option", key, "unknown", "events, depth, symbols, output, folded");
        }
    }
    as_json = output_given || !as_folded;
    if (refusal == NULL && as_json)
        refusal = output_open(&json_sink, nb, "output", output_given ? output_path : NULL);
    if (refusal == NULL && as_folded)
        refusal = output_open_as(&folded_sink, nb, FOLDED_OPENED, "folded", folded_path);
    if (refusal == NULL && !stack_prepare((const void *)(uintptr_t)taskwatch_write))
        return "no memory for libunwind; it needs some 40 KiB";
    return refusal;
}
