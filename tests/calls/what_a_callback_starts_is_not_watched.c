/* SPDX-License-Identifier: MIT */
/*
 * A fork and a spawn from inside a callback pass through untold, and so does all that they start; the
 * program's own creation around them goes on.
 *
 * main: exec exit free
 */
#include "check.h"

static void check(uint32_t action, uint32_t event)
{
    uint32_t mark = events_so_far();
    pid_t child;

    set_rule_of("recorder", action, event, 0);
    recording()->rule.last = 1;
    recording()->answer = -1;
    child = fork();
    if (child == 0)
        _exit(4);
    CHECK_EQUAL(status_of(child), exited(4));
    CHECK_EQUAL(recording()->answer, 0);
    EXPECT_SINCE(mark, "init clone exit free");
    no_children_left();
}

int main(void)
{
    static const uint32_t events[] = {WATCH_MASK_INIT, WATCH_MASK_CLONE, WATCH_MASK_EXIT, WATCH_MASK_FREE};

    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        check(RULE_FORK, events[i]);
        check(RULE_EXECUTE, events[i]);
    }
    return 0;
}
