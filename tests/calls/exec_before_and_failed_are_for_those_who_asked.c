/* SPDX-License-Identifier: MIT */
/*
 * EXEC with BEFORE and with FAILED goes to watchers that asked for it and to nobody else. A watcher that
 * asked for BEFORE can stop the call, with the errno it chose; a STOP from the plain EXEC changes nothing.
 *
 * watchers: recorder second third
 * second: wants=all+before+failed
 * third: wants=exec+failed
 * main: exec exit free
 * watched: part
 */
#include "check.h"

static void expect_tail(const char *recorder, uint32_t mark, const char *sequence)
{
    struct recording *r = recording_of(recorder);
    char text[1000] = "";

    for (uint32_t i = mark; i < r->count; i++)
        append_event(text, sizeof text, &r->records[i]);
    CHECK_TEXT(text, sequence);
}

int main(void)
{
    uint32_t marks[3] = {recording_of("recorder")->count, recording_of("second")->count,
                         recording_of("third")->count};
    const struct record *before, *failed;
    pid_t child;

    CHECK_EQUAL(execl("/no/such/file", "file", (char *)NULL), -1);
    CHECK_EQUAL(errno, ENOENT);
    expect_tail("recorder", marks[0], "");
    expect_tail("second", marks[1], "exec+before exec+failed");
    expect_tail("third", marks[2], "exec+failed");
    before = &recording_of("second")->records[marks[1]];
    failed = before + 1;
    CHECK_TEXT(before->path, "/no/such/file");
    CHECK_TEXT(before->argv0, "file");
    CHECK_TEXT(before->call, "execl");
    CHECK_EQUAL(before->error, 0);
    CHECK_EQUAL(failed->error, ENOENT);
    CHECK_TEXT(failed->path, "/no/such/file");

    set_rule_of("second", RULE_RETURN, WATCH_MASK_EXEC, notifier_from_errno(-ETXTBSY));
    CHECK_EQUAL(execl("/bin/true", "true", (char *)NULL), -1);
    CHECK_EQUAL(errno, ETXTBSY);
    set_rule_of("second", RULE_NONE, 0, 0);

    /* These have not asked for BEFORE, so their STOP comes after the fact. */
    set_rule_of("recorder", RULE_RETURN, WATCH_MASK_EXEC, NOTIFY_BAD);
    set_rule_of("third", RULE_RETURN, WATCH_MASK_EXEC, NOTIFY_BAD);
    child = fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_TASK(child, "init clone exec exit free");
    return 0;
}
