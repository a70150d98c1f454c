/* SPDX-License-Identifier: MIT */
/*
 * Three watchers, the middle one stops: the one before it and itself see INIT, the one behind does not, an
 * observer does with the flag, the verdict and the stopper's name. All of them see FREE.
 *
 * watchers: third second recorder
 * recorder: priority=10
 * second: priority=5
 * third: priority=observer
 */
#include "check.h"

static uint32_t marks[3];
static const char *const names[] = {"recorder", "second", "third"};

static void expect(int which, const char *sequence)
{
    struct recording *r = recording_of(names[which]);
    char text[1000] = "";

    for (uint32_t i = marks[which]; i < r->count; i++)
        append_event(text, sizeof text, &r->records[i]);
    CHECK_TEXT(text, sequence);
    marks[which] = r->count;
}

static const struct record *since_mark(int which, int n)
{
    return &recording_of(names[which])->records[marks[which] + (uint32_t)n];
}

int main(void)
{
    const struct record *seen;

    for (int i = 0; i < 3; i++)
        marks[i] = recording_of(names[i])->count;

    set_rule_of("recorder", RULE_RETURN, WATCH_MASK_INIT, notifier_from_errno(-EDOM));
    CHECK_EQUAL(fork(), -1);
    CHECK_EQUAL(errno, EDOM);
    seen = since_mark(2, 0);
    CHECK_TEXT(seen->stopped_by, "recorder");
    CHECK_EQUAL(seen->verdict, notifier_from_errno(-EDOM));
    expect(0, "init free");
    expect(1, "free");
    expect(2, "init+stopped free");
    set_rule_of("recorder", RULE_NONE, 0, 0);

    set_rule_of("second", RULE_RETURN, WATCH_MASK_CLONE, NOTIFY_BAD);
    CHECK_EQUAL(fork(), -1);
    CHECK_EQUAL(errno, EPERM);
    CHECK_TEXT(since_mark(2, 1)->stopped_by, "second");
    CHECK_TEXT(since_mark(2, 2)->stopped_by, "second");
    CHECK_TEXT(since_mark(0, 2)->stopped_by, "second");
    expect(0, "init clone free");
    expect(1, "init clone free");
    expect(2, "init clone+stopped free");
    set_rule_of("second", RULE_NONE, 0, 0);

    /* An observer stops nothing. */
    set_rule_of("third", RULE_RETURN, WATCH_MASK_INIT | WATCH_MASK_CLONE, NOTIFY_BAD);
    if (fork() == 0)
        _exit(0);
    CHECK(wait(NULL) > 0);
    for (int i = 0; i < 3; i++)
        expect(i, "init clone exit free");
    return 0;
}
