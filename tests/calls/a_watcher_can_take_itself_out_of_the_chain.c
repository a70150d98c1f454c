/* SPDX-License-Identifier: MIT */
/*
 * unregister_task_watcher from inside a callback returns at once, and the block is not called again; the
 * watcher beside it is. In a vfork child, where it would change the parent's chain, it is refused.
 *
 * watchers: recorder second
 * watched: part
 */
#include "check.h"

int main(void)
{
    struct recording *second = recording_of("second");
    uint32_t before;
    pid_t child;

    /* CLONE of a vfork child runs in the child. */
    set_rule_of("recorder", RULE_UNREGISTER, WATCH_MASK_CLONE, 0);
    child = vfork();
    if (child == 0)
        _exit(0);
    CHECK_EQUAL(recording()->answer, -EBUSY);
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_TASK(child, "init clone exit free");

    set_rule_of("recorder", RULE_UNREGISTER, WATCH_MASK_INIT, 0);
    before = second->count;
    child = fork();
    if (child == 0)
        _exit(0);
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(recording()->answer, 0);
    CHECK_EQUAL(second->count, before + 4);
    CHECK_EQUAL(event_number(events_so_far() - 1)->event, WATCH_TASK_INIT);
    return 0;
}
