/* SPDX-License-Identifier: MIT */
/*
 * A process that is SIGKILLed in the middle of an EXIT or FREE callback of its own: its parent's wait takes over,
 * with the true status, and calls the watcher that had begun again with AGAIN; those before it not, those
 * behind it as always. One that is killed while it has taken over is taken over like any other.
 *
 * watchers: recorder second third
 * watched: part
 */
#include "check.h"
#include "own.h"

static void kill_in(const char *recorder, uint32_t event)
{
    set_rule_of("recorder", RULE_NONE, 0, 0);
    set_rule_of("second", RULE_NONE, 0, 0);
    set_rule_of("third", RULE_NONE, 0, 0);
    if (recorder)
        set_rule_once_of(recorder, RULE_KILL, event);
}

static pid_t child_that_exits(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(3);
    return child;
}

/* What each of the three is told, when one is killed in `event`. */
static void expect(const char *killer, uint32_t event, const char *first, const char *second, const char *third)
{
    pid_t child;

    kill_in(killer, event);
    child = child_that_exits();
    CHECK_EQUAL(status_of(child), killer ? SIGKILL : exited(3));
    EXPECT_TASK(child, first);
    EXPECT_TASK_OF("second", child, second);
    EXPECT_TASK_OF("third", child, third);
    if (killer)
        CHECK_EQUAL(last_of(child, WATCH_TASK_FREE)->exit_status, event == WATCH_MASK_EXIT || strcmp(killer, "recorder") == 0
                                                                      ? SIGKILL
                                                                      : exited(3));
}

/* The child is killed in EXIT, its parent while it tells that on behalf, and the grandparent finds both. */
static void two_in_a_row(void)
{
    const struct record *inner = NULL;
    pid_t parent;

    kill_in("second", WATCH_MASK_EXIT);
    recording_of("second")->rule.last = 2;
    parent = fork();
    if (parent == 0) {
        status_of(child_that_exits());
        _exit(1);  /* never */
    }
    CHECK_EQUAL(status_of(parent), SIGKILL);
    EXPECT_TASK(parent, "init clone exit+behalf free+behalf");
    for (uint32_t i = 0; i < events_so_far(); i++)
        if (event_number(i)->event == WATCH_TASK_CLONE && event_number(i)->ppid == parent)
            inner = event_number(i);
    CHECK(inner != NULL);
    EXPECT_TASK(inner->pid, "init clone exit");
    /* Nobody waits for an orphan: a sweep finds it. */
    CHECK_EQUAL(taskwatch_sweep(), 1);
    EXPECT_TASK(inner->pid, "init clone exit free+behalf+unknown");
    EXPECT_TASK_OF("second", inner->pid, "init clone exit exit+behalf+again exit+behalf+again+unknown free+behalf+unknown");
    EXPECT_TASK_OF("third", inner->pid, "init clone exit+behalf+unknown free+behalf+unknown");
    CHECK_EQUAL(taskwatch_sweep(), 0);
}

int main(void)
{
    const char *all = "init clone exit free";

    expect("recorder", WATCH_MASK_EXIT, "init clone exit exit+behalf+again free+behalf",
           "init clone exit+behalf free+behalf", "init clone exit+behalf free+behalf");
    expect("second", WATCH_MASK_EXIT, "init clone exit free+behalf", "init clone exit exit+behalf+again free+behalf",
           "init clone exit+behalf free+behalf");
    expect("third", WATCH_MASK_EXIT, "init clone exit free+behalf", "init clone exit free+behalf",
           "init clone exit exit+behalf+again free+behalf");
    expect("recorder", WATCH_MASK_FREE, "init clone exit free free+behalf+again", "init clone exit free+behalf",
           "init clone exit free+behalf");
    expect("second", WATCH_MASK_FREE, all, "init clone exit free free+behalf+again", "init clone exit free+behalf");
    expect("third", WATCH_MASK_FREE, all, all, "init clone exit free free+behalf+again");
    expect(NULL, 0, all, all, all);
    two_in_a_row();
    return 0;
}
