/* SPDX-License-Identifier: MIT */
/*
 * A vfork in a vfork child that is stopped, at INIT or at CLONE, fails there with the watcher's errno; the
 * vfork child and its parent go on.
 *
 * main: exec exit free
 */
#include "check.h"

static void stopped_by(uint32_t events, const char *sequence)
{
    volatile pid_t inner = 0;
    volatile int error = 0;
    uint32_t mark = events_so_far();
    pid_t child;

    recording()->rule = (struct rule){.action = RULE_RETURN, .events = events, .first = 2, .last = 2,
                                      .value = notifier_from_errno(-EDQUOT)};
    child = vfork();
    if (child == 0) {
        inner = vfork();
        error = errno;
        if (inner == 0)
            _exit(9);
        no_children_left();
        _exit(5);
    }
    CHECK_EQUAL(inner, -1);
    CHECK_EQUAL(error, EDQUOT);
    CHECK_EQUAL(status_of(child), exited(5));
    EXPECT_SINCE(mark, sequence);
    no_children_left();
    stop_nothing();
    child = vfork();
    if (child == 0)
        _exit(6);
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exit free");
}

int main(void)
{
    stopped_by(WATCH_MASK_INIT, "init clone init free exit free");
    stopped_by(WATCH_MASK_CLONE, "init clone init clone free exit free");
    return 0;
}
