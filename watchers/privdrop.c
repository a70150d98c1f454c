/* SPDX-License-Identifier: MIT */
/*
 * privdrop: looks on while a program gives up root's ids, and tells what it gets wrong.
 *
 *   output=PATH|-   findings as JSON Lines; absolute path, - is standard output. Without it a line of text each
 *                   on the session's standard error
 *   fail=0|1        a finding fails the session (the launcher exits with 88): 0
 *   rules=LIST      order, groups, saved, fs, regain, unchecked, all: all
 *
 * order      the user id went before the group ids, which can no longer be changed
 * groups     supplementary groups were kept
 * saved      a saved id is still 0, or a real group id, while the others were given up
 * fs         the file-system id is 0, while the effective one is not
 * regain     ids that were given up can be taken back: the process executes something or ends with real or
 *            saved id 0, or it goes on with the capability to change them
 * unchecked  a set*id call of a privileged process failed, and the process went on to exec or fork
 *
 * A rule is told once a process; a forked child does not repeat what its parent was told. An observer.
 */
#define _GNU_SOURCE /* CLONE_THREAD */
#include <linux/capability.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "json.h"
#include "output.h"
#include "raw.h"

enum rule { ORDER, GROUPS, SAVED, FS, REGAIN, UNCHECKED, RULES };

static const char rule_names[RULES][10] = {"order", "groups", "saved", "fs", "regain", "unchecked"};

static const char calls[][10] = {"a call", "setuid",  "seteuid",  "setreuid",  "setresuid", "setfsuid",
                                 "setgid", "setegid", "setregid", "setresgid", "setfsgid"};
#define CALLS (sizeof calls / sizeof calls[0])
#define FIRST_OF_GROUPS 6

#define RECORD_MAX 4096
#define MOST_GROUPS 64 /* of a longer list only its length is compared */

static unsigned wanted_rules = (1u << RULES) - 1;
static bool fails, as_json;
static char output_path[OUTPUT_PATH_MAX + 1];
static struct taskwatch_sink sink;
static const struct notifier_block *own_block;

/* --- what is known of a process */

#define HELD 0x40     /* an id was given up, and can be taken back: real or saved is 0 */
#define DROPPED 0x80  /* all user ids were given up */
#define FAILED 0x100  /* a call failed; `call` and `error` say which and why */
#define LOOKED 0x200  /* its capabilities were looked at */
#define PENDING 0x400 /* dropped, but the group ids can still be changed: looked at when it goes on */
/* below: the rules that were told, one bit each */

/* As a task's cell, and for this process in its own memory, where a fork's child has its parent's. */
struct state {
    _Atomic uint16_t flags;
    uint8_t call;
    uint8_t error; /* 255: larger */
    uid_t real, effective, saved;
};
_Static_assert(sizeof(struct state) == TASKWATCH_CELL_SIZE, "it is a cell");

static struct state own;

/* The session's supplementary groups when it began, as a hash; 0: not known yet. */
static _Atomic uint32_t *groups_at_start(void)
{
    static _Atomic uint32_t alone;
    _Atomic uint32_t *shared = taskwatch_shared(own_block, sizeof *shared);

    return shared ? shared : &alone;
}

/* On its parent's memory a child has only its cell. */
static struct state *state_of(const struct task_watch *task)
{
    if (task->context & (TASKWATCH_IN_VFORK_CHILD | TASKWATCH_FOREIGN_TLS))
        return taskwatch_cell(task, own_block);
    return &own;
}

/* So that whoever tells the end of this process on its behalf knows. */
static void publish(const struct task_watch *task, const struct state *state)
{
    struct state *cell = task->pid == task->tgid ? taskwatch_cell(task, own_block) : NULL;

    if (!cell || cell == state)
        return;
    cell->call = state->call;
    cell->error = state->error;
    cell->real = state->real;
    cell->effective = state->effective;
    cell->saved = state->saved;
    atomic_store(&cell->flags, atomic_load(&state->flags));
}

/* --- asking the kernel */

static struct task_watch_ids user_ids(void)
{
    struct task_watch_ids ids = {0, 0, 0, 0};

    raw_call(SYS_getresuid, (long)&ids.real, (long)&ids.effective, (long)&ids.saved, 0, 0, 0);
    ids.filesystem = (uid_t)raw_call(SYS_setfsuid, -1, 0, 0, 0, 0, 0); /* changes nothing */
    return ids;
}

static struct task_watch_ids group_ids(void)
{
    struct task_watch_ids ids = {0, 0, 0, 0};

    raw_call(SYS_getresgid, (long)&ids.real, (long)&ids.effective, (long)&ids.saved, 0, 0, 0);
    ids.filesystem = (uid_t)raw_call(SYS_setfsgid, -1, 0, 0, 0, 0, 0);
    return ids;
}

struct groups {
    long count;
    bool has_root;
    bool only_own; /* the effective group id alone, or none */
    uint32_t hash; /* never 0 */
};

static __attribute__((noinline)) struct groups read_groups(gid_t effective)
{
    gid_t list[MOST_GROUPS];
    struct groups groups = {.count = raw_call(SYS_getgroups, MOST_GROUPS, (long)list, 0, 0, 0, 0)};

    groups.only_own = groups.count >= 0;
    groups.hash = 2166136261u; /* FNV-1a */
    if (groups.count < 0) {
        groups.count = raw_call(SYS_getgroups, 0, 0, 0, 0, 0, 0);
        groups.hash ^= (uint32_t)groups.count;
    } else {
        for (long i = 0; i < groups.count; i++) {
            groups.has_root |= list[i] == 0;
            groups.only_own &= list[i] == effective;
            groups.hash = (groups.hash ^ list[i]) * 16777619u;
        }
    }
    groups.hash |= 1;
    return groups;
}

/* `capabilities`: a set of bits. */
static bool permits(uint32_t capabilities)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};

    return raw_call(SYS_capget, (long)&header, (long)data, 0, 0, 0, 0) == 0 &&
           data[0].permitted & capabilities;
}

static bool has_root(const struct task_watch_ids *ids)
{
    return ids->real == 0 || ids->effective == 0 || ids->saved == 0;
}

/* --- telling */

struct finding {
    enum rule rule;
    const char *call;
    const char *why;  /* NULL: the call failed with `error`, */
    const char *then; /* and what the process went on to */
    int error;
    struct task_watch_ids uid, gid;
    bool knows_gid;
};

static void write_ids(struct line *line, const char *key, const struct task_watch_ids *ids, char end)
{
    line_text(line, key);
    line_number(line, ids->real);
    line_char(line, ',');
    line_number(line, ids->effective);
    line_char(line, ',');
    line_number(line, ids->saved);
    line_char(line, ',');
    line_number(line, ids->filesystem);
    if (end)
        line_char(line, end);
}

static void write_why(struct line *line, const struct finding *finding)
{
    const char *error = errno_name(finding->error);

    if (finding->why) {
        line_text(line, finding->why);
        return;
    }
    line_text(line, "it failed with ");
    if (error)
        line_text(line, error);
    else
        line_number(line, (uint64_t)finding->error);
    line_text(line, ", and the process went on to ");
    line_text(line, finding->then);
}

static void format_json(struct line *line, const struct task_watch *task, const struct finding *finding,
                        const char *program)
{
    bool encode = !utf8_is(program);

    json_head(line, "privdrop", task);
    json_text(line, ",\"rule\":", rule_names[finding->rule]);
    json_text(line, ",\"call\":", finding->call);
    line_text(line, ",\"command\":");
    json_string(line, program, encode, SIZE_MAX);
    write_ids(line, ",\"uid\":[", &finding->uid, ']');
    if (finding->knows_gid)
        write_ids(line, ",\"gid\":[", &finding->gid, ']');
    else
        line_text(line, ",\"gid\":null");
    line_text(line, ",\"why\":\"");
    write_why(line, finding);
    line_text(line, encode ? "\",\"encoded\":[\"command\"]}\n" : "\"}\n");
}

static void format_text(struct line *line, const struct task_watch *task, const struct finding *finding,
                        const char *program)
{
    line_text(line, "privdrop: ");
    line_text(line, rule_names[finding->rule]);
    line_text(line, ": ");
    line_text(line, finding->call);
    line_text(line, "() by task ");
    line_number(line, task->id);
    line_text(line, " (pid ");
    line_integer(line, task->pid);
    line_text(line, ", ");
    for (const char *c = program; *c; c++)
        line_char(line, (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c);
    write_ids(line, "), uid ", &finding->uid, '\0');
    if (finding->knows_gid)
        write_ids(line, " gid ", &finding->gid, '\0');
    line_text(line, ": ");
    write_why(line, finding);
    line_char(line, '\n');
}

/* In memory of its own: the thread may have little stack, and findings are few. */
static __attribute__((noinline)) void write_finding(const struct task_watch *task,
                                                    const struct finding *finding, const char *program)
{
    long memory =
        raw_call(NR_MMAP, 0, RECORD_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct line line = {(char *)memory, RECORD_MAX, 0};

    if (memory < 0 && memory > -4096)
        return;
    if (as_json)
        format_json(&line, task, finding, program);
    else
        format_text(&line, task, finding, program);
    taskwatch_write(&sink, line.text, line.length < line.capacity ? line.length : line.capacity);
    raw_call(SYS_munmap, memory, RECORD_MAX, 0, 0, 0, 0);
}

/* Once for a rule and a process. `finding` has its rule, call and reason. */
static __attribute__((noinline)) void tell(const struct task_watch *task, struct state *state,
                                           const struct finding *finding)
{
    uint16_t bit = (uint16_t)(1u << finding->rule);
    char program[17] = "?";

    if (!(wanted_rules & bit) || (atomic_fetch_or(&state->flags, bit) & bit))
        return;
    if (finding->knows_gid) /* that is: of this process */
        raw_call(SYS_prctl, PR_GET_NAME, (long)program, 0, 0, 0, 0);
    write_finding(task, finding, program);
    if (fails)
        taskwatch_fail_session(own_block);
}

static struct finding about_us(const char *call)
{
    return (struct finding){.call = call, .uid = user_ids(), .gid = group_ids(), .knows_gid = true};
}

/* --- the rules */

static void check_groups(const struct task_watch *task, struct state *state, struct finding *finding)
{
    struct groups groups = read_groups(finding->gid.effective);
    bool as_before = !groups.only_own && groups.hash == atomic_load(groups_at_start());

    if (groups.count <= 0 || !(groups.has_root || as_before))
        return;
    finding->rule = GROUPS;
    finding->why = groups.has_root ? "group 0 is still among its supplementary groups"
                                   : "its supplementary groups are still those that the session began with";
    tell(task, state, finding);
}

/* Root's effective user id was given up, by this call or step by step. */
static __attribute__((noinline)) void check_drop(const struct task_watch *task, struct state *state,
                                                 struct finding *finding)
{
    const struct task_watch_ids *gid = &finding->gid;
    bool for_good = !has_root(&finding->uid);

    if (gid->effective == 0) {
        finding->rule = ORDER;
        finding->why = "the user id went first: its group id 0 stays";
        tell(task, state, finding);
    } else if (for_good && (gid->real == 0 || gid->saved == 0)) {
        finding->rule = SAVED;
        finding->why = "its real or saved group id is still 0";
        tell(task, state, finding);
    }
    check_groups(task, state, finding);
}

static void clear_failure(struct state *state, bool of_groups)
{
    if (of_groups == (state->call >= FIRST_OF_GROUPS))
        atomic_fetch_and(&state->flags, (uint16_t)~FAILED);
}

static void on_user_change(const struct task_watch *task, struct state *state)
{
    const struct task_watch_ids *now = &task->ids, *old = &task->old_ids;
    struct finding finding;
    bool for_good = !has_root(now);

    state->real = now->real;
    state->effective = now->effective;
    state->saved = now->saved;
    if (now->effective == 0) {
        atomic_fetch_and(&state->flags, (uint16_t) ~(HELD | DROPPED));
        return;
    }
    if (!has_root(old))
        return;
    clear_failure(state, false);
    atomic_fetch_and(&state->flags, (uint16_t) ~(HELD | DROPPED));
    atomic_fetch_or(&state->flags, for_good ? DROPPED : HELD);
    finding = about_us(task->call);
    atomic_fetch_and(&state->flags, (uint16_t)~PENDING);
    if (permits(1u << CAP_SETGID)) /* kept on purpose: the rest may go in any order */
        atomic_fetch_or(&state->flags, for_good ? PENDING : 0);
    else if (old->effective == 0 || for_good)
        check_drop(task, state, &finding);
    if (now->real != 0 && now->saved == 0) {
        finding.rule = SAVED;
        finding.why = "its saved user id is still 0";
        tell(task, state, &finding);
    }
}

static void on_change(const struct task_watch *task, bool of_groups)
{
    struct state *state = state_of(task);
    struct finding finding;

    if (!state)
        return;
    if (of_groups)
        clear_failure(state, true);
    else
        on_user_change(task, state);
    if (task->ids.effective != 0 && task->ids.filesystem == 0) {
        finding = about_us(task->call);
        finding.rule = FS;
        finding.why = of_groups ? "its file-system group id is 0, its effective one is not"
                                : "its file-system user id is 0, its effective one is not";
        tell(task, state, &finding);
    }
    publish(task, state);
}

static uint8_t call_number(const char *name)
{
    if (strncmp(name, "SYS_", 4) == 0)
        name += 4;
    for (size_t i = 1; i < CALLS; i++)
        if (strcmp(calls[i], name) == 0)
            return (uint8_t)i;
    return 0;
}

/* Whoever has nothing to give up may fail: to try whether root can be taken back is good practice. */
static void on_refusal(const struct task_watch *task, bool of_groups)
{
    struct state *state = state_of(task);
    struct task_watch_ids users = of_groups ? user_ids() : task->ids;

    if (!state || !(has_root(&users) || (of_groups && has_root(&task->ids))))
        return;
    state->call = call_number(task->call);
    state->error = task->error > 0 && task->error < 255 ? (uint8_t)task->error : 255;
    atomic_fetch_or(&state->flags, FAILED);
    publish(task, state);
}

static __attribute__((noinline)) void tell_unchecked(const struct task_watch *task, struct state *state)
{
    struct finding finding = about_us(calls[state->call < CALLS ? state->call : 0]);

    finding.rule = UNCHECKED;
    finding.error = state->error;
    finding.then = task->call;
    tell(task, state, &finding);
}

/* It goes on with what it has now. */
static void check_pending(const struct task_watch *task, struct state *state)
{
    struct finding finding;

    if (!(atomic_fetch_and(&state->flags, (uint16_t)~PENDING) & PENDING))
        return;
    finding = about_us(task->call);
    check_drop(task, state, &finding);
}

static void check_capabilities(const struct task_watch *task, struct state *state)
{
    struct finding finding;

    if ((atomic_load(&state->flags) & (DROPPED | LOOKED)) != DROPPED)
        return;
    atomic_fetch_or(&state->flags, LOOKED);
    if (!permits(1u << CAP_SETUID | 1u << CAP_SETGID))
        return;
    finding = about_us(task->call);
    finding.rule = REGAIN;
    finding.why = "root can be taken back: CAP_SETUID or CAP_SETGID was kept";
    tell(task, state, &finding);
}

static __attribute__((noinline)) void on_fork(const struct task_watch *child)
{
    struct task_watch creator = {.size = sizeof creator, .id = child->parent_id};
    struct state *state;

    if (child->clone_flags & CLONE_THREAD)
        return;
    creator.context = child->context;
    state = state_of(&creator);
    if (!state || !(atomic_load(&state->flags) & (FAILED | DROPPED)))
        return;
    creator.session = child->session;
    creator.realtime_ns = child->realtime_ns;
    creator.boottime_ns = child->boottime_ns;
    creator.pid = creator.tgid = (pid_t)raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    creator.ppid = (pid_t)raw_call(SYS_getppid, 0, 0, 0, 0, 0, 0);
    creator.by = child->by;
    creator.call = child->call;
    if (atomic_load(&state->flags) & FAILED)
        tell_unchecked(&creator, state);
    check_pending(&creator, state);
    check_capabilities(&creator, state);
}

/* Before the call, in the old image. */
static void on_exec(const struct task_watch *task)
{
    struct state *state = state_of(task);
    struct finding finding;

    if (!state)
        return;
    if (atomic_load(&state->flags) & FAILED)
        tell_unchecked(task, state);
    check_pending(task, state);
    if (atomic_load(&state->flags) & HELD) {
        finding = about_us(task->call);
        finding.rule = REGAIN;
        finding.why = "what is executed can take root back: the real user id is 0";
        if (finding.uid.effective != 0 && finding.uid.real == 0) {
            tell(task, state, &finding);
            /* Enough: whoever tells the end of that image would say it again. */
            atomic_fetch_and(&state->flags, (uint16_t)~HELD);
            publish(task, state);
        }
    }
}

static void on_end(const struct task_watch *task, unsigned long flags)
{
    bool ours = !(flags & WATCH_ON_BEHALF);
    struct state *state = ours ? state_of(task) : taskwatch_cell(task, own_block);
    struct finding finding;

    if (task->pid != task->tgid || !state || !(atomic_load(&state->flags) & (HELD | DROPPED)))
        return;
    if (atomic_load(&state->flags) & HELD && state->real == 0) { /* else its saved id was told of */
        finding = (struct finding){
            .rule = REGAIN, .call = task->call, .why = "it ended without giving root up for good"};
        if (ours) {
            finding.uid = user_ids();
            finding.gid = group_ids();
            finding.knows_gid = true;
        } else {
            finding.uid.real = state->real;
            finding.uid.effective = finding.uid.filesystem = state->effective;
            finding.uid.saved = state->saved;
        }
        tell(task, state, &finding);
    }
    if (!ours)
        return;
    check_pending(task, state);
    check_capabilities(task, state);
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    unsigned long flags = get_watch_flags(action);
    bool of_groups = get_watch_event(action) == WATCH_TASK_GID;

    (void)nb;
    if (task->context & TASKWATCH_QUIET) /* nothing may be asked, and nothing written */
        return NOTIFY_DONE;
    switch (get_watch_event(action)) {
    case WATCH_TASK_INIT:
        on_fork(task);
        break;
    case WATCH_TASK_EXEC: /* after the call there is another image, which knows nothing of this */
        if (flags & WATCH_BEFORE)
            on_exec(task);
        break;
    case WATCH_TASK_UID:
    case WATCH_TASK_GID:
        if (flags & WATCH_FAILED)
            on_refusal(task, of_groups);
        else if (!(flags & WATCH_BEFORE))
            on_change(task, of_groups);
        break;
    case WATCH_TASK_EXIT:
        on_end(task, flags);
        break;
    }
    return NOTIFY_DONE;
}

/* --- options */

static const char *read_rules(char *list)
{
    unsigned rules = 0;

    for (char *item; (item = option_next_item(&list)) != NULL;) {
        unsigned rule = 0;

        while (rule < RULES && strcmp(rule_names[rule], item) != 0)
            rule++;
        if (rule == RULES && strcmp(item, "all") != 0)
            return option_refuse("rules", item, "not a rule",
                                 "order, groups, saved, fs, regain, unchecked, all");
        rules |= rule == RULES ? (1u << RULES) - 1 : 1u << rule;
    }
    wanted_rules = rules;
    return NULL;
}

static const char *init(struct notifier_block *nb, char *options)
{
    const char *refusal = NULL;
    uint32_t unknown = 0;
    char *key, *value;
    int choice;

    own_block = nb;
    while ((key = taskwatch_next_option(&options, &value)) != NULL && refusal == NULL) {
        if (strcmp(key, "output") == 0) {
            refusal = output_read(key, value, &output_path);
            as_json = true;
        } else if (strcmp(key, "fail") == 0) {
            if ((choice = option_switch(value)) < 0)
                return option_refuse(key, value, "not a switch", "0, 1");
            fails = choice;
        } else if (strcmp(key, "rules") == 0) {
            refusal = read_rules(value);
        } else {
            return option_refuse("option", key, "unknown", "output, fail, rules");
        }
    }
    if (refusal)
        return refusal;
    atomic_compare_exchange_strong(groups_at_start(), &unknown, read_groups((gid_t)-1).hash);
    return output_open(&sink, nb, "output", as_json ? output_path : NULL);
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "privdrop",
    .description = "tells what a program gets wrong when it gives up root's ids",
    .events = WATCH_MASK_INIT | WATCH_MASK_EXEC | WATCH_MASK_UID | WATCH_MASK_GID | WATCH_MASK_EXIT |
              WATCH_MASK_BEFORE | WATCH_MASK_FAILED,
    .priority = WATCH_PRIORITY_OBSERVER,
    .init = init,
    .notify = notify,
};
