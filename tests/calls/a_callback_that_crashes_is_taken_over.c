/* SPDX-License-Identifier: MIT */
/*
 * A watcher that crashes in a callback ends the process as any SIGSEGV would, also where signals are blocked around the
 * creation of a child. What the callback belonged to is told by others: the end of a task by its parent's wait, the CLONE of a held
 * child by the child, which runs on, and what was only announced by whoever looks. The callback that crashed is called again,
 * flagged; those before it are not, those behind it as always. Nobody hangs.
 *
 * watchers: recorder second third
 * watched: part
 */
#include <sys/resource.h>

#include "check.h"
#include "own.h"

static void crash_in(const char *recorder, uint32_t event)
{
    set_rule_of("recorder", RULE_NONE, 0, 0);
    set_rule_of("second", RULE_NONE, 0, 0);
    set_rule_of("third", RULE_NONE, 0, 0);
    if (recorder)
        set_rule_once_of(recorder, RULE_CRASH, event);
}

/* The dying task's own callback. */
static void crash_at_the_end(uint32_t event, const char *first, const char *second, const char *third)
{
    pid_t child = fork();

    if (child == 0) {
        crash_in("second", event);
        _exit(3);
    }
    CHECK_EQUAL(status_of(child), SIGSEGV);
    EXPECT_TASK(child, first);
    EXPECT_TASK_OF("second", child, second);
    EXPECT_TASK_OF("third", child, third);
}

/* A creator's callback: the one that is being made, which may not exist yet. */
static uint64_t crash_in_a_creation(uint32_t event)
{
    uint32_t mark = events_so_far();
    pid_t creator = fork();

    if (creator == 0) {
        crash_in("second", event);
        if (fork() == 0)
            _exit(5);
        _exit(1); /* never */
    }
    CHECK_EQUAL(status_of(creator), SIGSEGV);
    EXPECT_TASK(creator, "init clone exit+behalf free+behalf");
    EXPECT_TASK_OF("second", creator, "init clone exit+behalf free+behalf");
    for (uint32_t i = events_so_far(); i > mark; i--)
        if (event_number(i - 1)->event == WATCH_TASK_INIT && event_number(i - 1)->ppid == creator)
            return event_number(i - 1)->id;
    CHECK(!"nothing was announced");
    return 0;
}

static void expect_told(const char *recorder, uint64_t id, const char *sequence)
{
    const struct recording *seen = recording_of(recorder);
    char text[4000] = "";

    for (uint32_t i = 0; i < seen->count; i++)
        if (seen->records[i].id == id)
            append_event(text, sizeof text, &seen->records[i]);
    CHECK_TEXT(text, sequence);
}

static pid_t pid_of(uint64_t id)
{
    for (uint32_t i = 0; i < events_so_far(); i++)
        if (event_number(i)->id == id && event_number(i)->pid)
            return event_number(i)->pid;
    return 0;
}

int main(void)
{
    struct rlimit none = {0, 0};
    uint64_t id;

    setrlimit(RLIMIT_CORE, &none);
    crash_at_the_end(WATCH_MASK_EXIT, "init clone exit free+behalf", "init clone exit exit+behalf+again free+behalf",
                     "init clone exit+behalf free+behalf");
    crash_at_the_end(WATCH_MASK_FREE, "init clone exit free", "init clone exit free free+behalf+again",
                     "init clone exit free+behalf");

    id = crash_in_a_creation(WATCH_MASK_CLONE);
    while (!pid_of(id))
        usleep(1000);
    await_event(pid_of(id), WATCH_TASK_FREE);
    expect_told("recorder", id, "init clone exit free");
    expect_told("second", id, "init clone clone+behalf+again exit free");
    expect_told("third", id, "init clone+behalf exit free");

    id = crash_in_a_creation(WATCH_MASK_INIT);
    CHECK_EQUAL(taskwatch_sweep(), 1);
    /* Whether there ever was a child nobody knows. */
    expect_told("recorder", id, "init exit+behalf+unknown free+behalf+unknown");
    expect_told("second", id, "init exit+behalf+unknown free+behalf+unknown");
    expect_told("third", id, "exit+behalf+unknown free+behalf+unknown");
    CHECK_EQUAL(taskwatch_sweep(), 0);
    return 0;
}
