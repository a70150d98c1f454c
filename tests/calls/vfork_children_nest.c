/* SPDX-License-Identifier: MIT */
/*
 * A vfork child may vfork again, three deep, and any number of times one after the other. Each child has its
 * own task, created by the one above, and each parent goes on as itself.
 *
 * main: exec exit free
 */
#include "check.h"

static volatile pid_t pids[3];

int main(void)
{
    uint32_t mark = events_so_far();
    pid_t own = getpid();

    pids[0] = vfork();
    if (pids[0] == 0) {
        pids[1] = vfork();
        if (pids[1] == 0) {
            pids[2] = vfork();
            if (pids[2] == 0)
                _exit(3);
            CHECK_EQUAL(status_of(pids[2]), exited(3));
            _exit(2);
        }
        CHECK_EQUAL(status_of(pids[1]), exited(2));
        _exit(1);
    }
    CHECK_EQUAL(status_of(pids[0]), exited(1));
    CHECK_EQUAL(getpid(), own);
    EXPECT_SINCE(mark, "init clone init clone init clone exit free exit free exit free");
    for (int i = 0; i < 3; i++) {
        const struct record *clone = last_of(pids[i], WATCH_TASK_CLONE);

        CHECK_EQUAL(clone->ppid, i == 0 ? own : pids[i - 1]);
        CHECK_EQUAL(clone->parent_id, newest_id_of(i == 0 ? own : pids[i - 1]));
        CHECK_EQUAL(last_of(pids[i], WATCH_TASK_EXIT)->exit_status, exited(i + 1));
    }

    pids[0] = vfork();
    if (pids[0] == 0) {
        for (volatile int i = 0; i < 40; i++) {
            pids[1] = vfork();
            if (pids[1] == 0)
                _exit(4);
            CHECK_EQUAL(status_of(pids[1]), exited(4));
            EXPECT_TASK(pids[1], "init clone exit free");
        }
        _exit(5);
    }
    CHECK_EQUAL(status_of(pids[0]), exited(5));

    mark = events_so_far();
    pids[0] = fork();
    if (pids[0] == 0)
        _exit(0);
    CHECK_EQUAL(status_of(pids[0]), 0);
    EXPECT_SINCE(mark, "init clone exit free");
    CHECK_EQUAL(event_number(mark)->parent_id, newest_id_of(own));
    return 0;
}
