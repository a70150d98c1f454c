/* SPDX-License-Identifier: MIT */
/*
 * fault: makes creations, execs and changes of ids fail on purpose, to see what the program does then.
 * Up to 8 rules separated by ';', each a list of options:
 *
 *   on=LIST          init, clone, exec, uid, gid; required
 *   error=ERRNO      name or 1 to 4095: EAGAIN for init and clone, EACCES for exec, EPERM for uid and gid
 *   when=FIRST[..LAST][+[STEP]]
 *                    which candidates, as in strace(1): 3, 3.., 3..5, 3+ (from the third on), 3+2
 *                    (each second from the third on), 3..9+2. All
 *   probability=P    0 to 1, or 0% to 100%: how many of those: 1
 *   seed=N           which of those: 0. The same seed picks the same ones
 *   program=GLOB     only in programs of this name (glob(7)), by argv[0] or by the executed file
 *   call=NAME        only through this libc function ("vfork", "posix_spawn")
 *
 * A candidate is an event that on, program and call select. Each rule counts its candidates over the
 * session; without session memory over each process. The first rule that fires decides.
 */
#include <fnmatch.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/auxv.h>

#include <taskwatch/taskwatch.h>

#include "option.h"
#include "start_page.h"

#define RULES_MAX 8
#define CALL_MAX 32
/* Probability as a number of parts. */
#define WHOLE 1000000000u

struct rule {
    unsigned events; /* WATCH_MASK_ bits */
    int error;       /* 0: the usual one of the event */
    uint64_t first, last, step;
    uint32_t probability;
    uint64_t seed;
    bool in_this_program;
    char call[CALL_MAX]; /* "": any */
};

/* As a rule there is one. */
static START_PAGE struct rule first_rule;
static struct rule more_rules[RULES_MAX - 1];
static START_PAGE unsigned rule_count;
static atomic_uint own_counts[RULES_MAX];

extern char *program_invocation_short_name;

static struct rule *rule_at(unsigned n)
{
    return n == 0 ? &first_rule : &more_rules[n - 1];
}

/* --- events */

/* splitmix64: what one candidate draws depends on the rule's seed and on its number alone. */
static uint64_t draw(uint64_t seed, uint64_t number)
{
    uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool fires(const struct rule *rule, uint64_t number)
{
    if (number < rule->first || number > rule->last || (number - rule->first) % rule->step != 0)
        return false;
    return draw(rule->seed, number) % WHOLE < rule->probability;
}

/* 0: nothing that can be made to fail. */
static unsigned mask_of(unsigned long action, const struct task_watch *task)
{
    bool before = (get_watch_flags(action) & WATCH_BEFORE) && !(task->context & TASKWATCH_FORECAST);

    switch (get_watch_event(action)) {
    case WATCH_TASK_INIT:
        return WATCH_MASK_INIT;
    case WATCH_TASK_CLONE:
        return task->context & TASKWATCH_NOT_HELD ? 0 : WATCH_MASK_CLONE;
    case WATCH_TASK_EXEC:
        return before ? WATCH_MASK_EXEC : 0;
    case WATCH_TASK_UID:
        return before ? WATCH_MASK_UID : 0;
    case WATCH_TASK_GID:
        return before ? WATCH_MASK_GID : 0;
    default:
        return 0;
    }
}

static int usual_error(unsigned mask)
{
    if (mask & (WATCH_MASK_INIT | WATCH_MASK_CLONE))
        return EAGAIN;
    return mask & WATCH_MASK_EXEC ? EACCES : EPERM;
}

static int notify(struct notifier_block *nb, unsigned long action, void *data)
{
    const struct task_watch *task = data;
    unsigned mask = mask_of(action, task);
    atomic_uint *counts = NULL;
    int error = 0;

    for (unsigned i = 0; i < rule_count; i++) {
        const struct rule *rule = rule_at(i);
        unsigned number;

        if (!(rule->events & mask) || !rule->in_this_program)
            continue;
        if (rule->call[0] && strcmp(rule->call, task->call) != 0)
            continue;
        if (!counts && (counts = taskwatch_shared(nb, sizeof own_counts)) == NULL)
            counts = own_counts;
        number = atomic_fetch_add(&counts[i], 1) + 1;
        if (error == 0 && fires(rule, number))
            error = rule->error ? rule->error : usual_error(mask);
    }
    return error ? notifier_from_errno(-error) : NOTIFY_DONE;
}

/* --- options */

static const char *read_events(unsigned rule, char *list, unsigned *ret_events)
{
    static const struct {
        char name[8];
        unsigned mask;
    } known[] = {{"init", WATCH_MASK_INIT},
                 {"clone", WATCH_MASK_CLONE},
                 {"exec", WATCH_MASK_EXEC},
                 {"uid", WATCH_MASK_UID},
                 {"gid", WATCH_MASK_GID}};

    for (char *item; (item = option_next_item(&list)) != NULL;) {
        size_t i = 0;

        while (i < sizeof known / sizeof known[0] && strcmp(known[i].name, item) != 0)
            i++;
        if (i == sizeof known / sizeof known[0])
            return option_refuse_in_rule(rule, "on", item, "not an event that can fail",
                                         "init, clone, exec, uid, gid");
        *ret_events |= known[i].mask;
    }
    return NULL;
}

/* Digits at `*text`, 1 to 2^32 - 1, which is advanced. */
static bool read_count(const char **text, uint64_t *ret_number)
{
    char digits[11];
    size_t length = strspn(*text, "0123456789");

    if (length == 0 || length >= sizeof digits)
        return false;
    memcpy(digits, *text, length);
    digits[length] = '\0';
    *text += length;
    return option_number(digits, 1, UINT32_MAX, ret_number);
}

static bool read_when(const char *text, struct rule *rule)
{
    if (!read_count(&text, &rule->first))
        return false;
    rule->last = rule->first;
    rule->step = 1;
    if (text[0] == '.' && text[1] == '.') {
        text += 2;
        rule->last = UINT64_MAX;
        if (*text && *text != '+' && !(read_count(&text, &rule->last) && rule->last >= rule->first))
            return false;
    } else if (*text == '+') {
        rule->last = UINT64_MAX;
    }
    if (*text == '+' && *++text && !read_count(&text, &rule->step))
        return false;
    return *text == '\0';
}

/* "0.25" or "25%", up to nine decimal places. */
static bool read_probability(const char *text, uint32_t *ret_probability)
{
    uint64_t value = 0, unit = WHOLE;
    size_t digits = strspn(text, "0123456789");
    bool percent;

    if (digits == 0 || digits > 3)
        return false;
    for (; digits--; text++)
        value = value * 10 + (uint64_t)(*text - '0') * WHOLE;
    if (*text == '.') {
        text++;
        if (*text < '0' || *text > '9')
            return false;
        for (; *text >= '0' && *text <= '9'; text++) {
            unit /= 10;
            value += (uint64_t)(*text - '0') * unit;
        }
    }
    percent = *text == '%';
    if (percent) {
        value /= 100;
        text++;
    }
    if (*text != '\0' || value > WHOLE)
        return false;
    *ret_probability = (uint32_t)value;
    return true;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A property of the image: decided once. */
static bool matches_program(const char *glob)
{
    const char *executed = (const char *)getauxval(AT_EXECFN);

    return fnmatch(glob, program_invocation_short_name, 0) == 0 ||
           (executed && fnmatch(glob, base_name(executed), 0) == 0);
}

static bool is_call(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    return length > 0 && length < CALL_MAX && name[length] == '\0';
}

static const char *read_rule(unsigned number, char *options, struct rule *rule)
{
    char *key, *value;

    *rule = (struct rule){
        .first = 1, .last = UINT64_MAX, .step = 1, .probability = WHOLE, .in_this_program = true};
    while ((key = taskwatch_next_option(&options, &value)) != NULL) {
        if (strcmp(key, "on") == 0) {
            const char *refusal = read_events(number, value, &rule->events);

            if (refusal)
                return refusal;
        } else if (strcmp(key, "error") == 0) {
            if ((rule->error = option_errno(value)) == 0)
                return option_refuse_in_rule(number, key, value, "not an error",
                                             "a name like EAGAIN, 1 to 4095");
        } else if (strcmp(key, "when") == 0) {
            if (!read_when(value, rule))
                return option_refuse_in_rule(
                    number, key, value, "not a selection",
                    "FIRST[..LAST][+[STEP]] with numbers from 1, as 3, 3..5, 3+, 3+2");
        } else if (strcmp(key, "probability") == 0) {
            if (!read_probability(value, &rule->probability))
                return option_refuse_in_rule(number, key, value, "not a probability", "0 to 1, 0% to 100%");
        } else if (strcmp(key, "seed") == 0) {
            if (!option_number(value, 0, UINT64_MAX, &rule->seed))
                return option_refuse_in_rule(number, key, value, "not a seed", "0 to 18446744073709551615");
        } else if (strcmp(key, "program") == 0) {
            if (*value == '\0')
                return option_refuse_in_rule(number, key, value, "empty",
                                             "a name or a pattern with * ? [..]");
            rule->in_this_program = matches_program(value);
        } else if (strcmp(key, "call") == 0) {
            if (!is_call(value))
                return option_refuse_in_rule(number, key, value, "not the name of a function",
                                             "a name like fork, vfork, posix_spawn, execve, setuid");
            strcpy(rule->call, value);
        } else {
            return option_refuse_in_rule(number, "option", key, "unknown",
                                         "on, error, when, probability, seed, program, call");
        }
    }
    if (rule->events == 0)
        return option_refuse_in_rule(number, "on", "", "no event", "on=init, clone, exec, uid, gid");
    return NULL;
}

static const char *init(struct notifier_block *nb, char *options)
{
    (void)nb;
    for (char *next; options; options = next) {
        const char *refusal;

        next = strchr(options, ';');
        if (next)
            *next++ = '\0';
        if (*options == '\0' && (next || rule_count)) /* "a;b;" */
            continue;
        if (rule_count == RULES_MAX)
            return option_refuse_in_rule(rule_count + 1, "rules", options, "one too many", "8 rules");
        if ((refusal = read_rule(rule_count + 1, options, rule_at(rule_count))) != NULL)
            return refusal;
        rule_count++;
    }
    return NULL;
}

__attribute__((visibility("default"))) const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION,
    .size = sizeof(struct taskwatch_watcher),
    .name = "fault",
    .description = "makes fork, exec and setuid fail on purpose",
    .events = WATCH_MASK_INIT | WATCH_MASK_CLONE | WATCH_MASK_EXEC | WATCH_MASK_UID | WATCH_MASK_GID |
              WATCH_MASK_BEFORE,
    .priority = 100, /* before limit: what fails here was never counted there */
    .init = init,
    .notify = notify,
};
