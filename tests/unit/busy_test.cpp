// SPDX-License-Identifier: MIT
// The busy watcher, which other tests load to make callbacks slow and rude.
#include "watcher_host.hpp"

namespace {

TEST(Busy, WritesItsCellSpoilsErrnoAndStopsNothing) {
    reset_host();
    Watcher watcher("busy");
    ASSERT_EQ(watcher.init("us=50,seed=7"), "");
    int spoilt = 0;
    for (unsigned long event : {WATCH_TASK_INIT, WATCH_TASK_CLONE, WATCH_TASK_EXEC, WATCH_TASK_UID,
                                WATCH_TASK_GID, WATCH_TASK_EXIT, WATCH_TASK_FREE}) {
        task_watch task = make_task();
        errno = 1000;
        EXPECT_EQ(watcher.notify(event, task), NOTIFY_DONE);
        spoilt += errno != 1000;
        uint64_t cell[2];
        memcpy(cell, host.cells[task.id], sizeof cell);
        EXPECT_EQ(cell[1], event);
    }
    EXPECT_EQ(spoilt, 7);
    EXPECT_EQ(watcher.descriptor().events, WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED);
}

TEST(Busy, LeavesTheErrnoOfAnotherThreadAlone) {
    reset_host();
    Watcher watcher("busy");
    ASSERT_EQ(watcher.init(""), "");
    task_watch task = make_task();
    task.context = TASKWATCH_FOREIGN_TLS;
    errno = 1000;
    watcher.notify(WATCH_TASK_EXIT, task);
    EXPECT_EQ(errno, 1000);
}

TEST(Busy, WorksWithoutASession) {
    reset_host();
    host.session = false;
    Watcher watcher("busy");
    ASSERT_EQ(watcher.init("us=0"), "");
    task_watch task = make_task();
    EXPECT_EQ(watcher.notify(WATCH_TASK_EXIT, task), NOTIFY_DONE);
}

TEST(Busy, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    EXPECT_EQ(Watcher("busy").init("us=1000001"),
              "us: '1000001' is not a number of microseconds; accepted: 0 to 1000000");
    EXPECT_EQ(Watcher("busy").init("seed="), "seed: '' is not a seed; accepted: 0 to 18446744073709551615");
    EXPECT_EQ(Watcher("busy").init("ms=1"), "option: 'ms' is unknown; accepted: us, seed");
}

TEST(Busy, KeepsToOneKilobyteOfStack) {
    reset_host();
    Watcher watcher("busy");
    ASSERT_EQ(watcher.init("us=1"), "");
    size_t used = stack_used(
        [](void *context) {
            task_watch task = make_task();
            static_cast<Watcher *>(context)->notify(WATCH_TASK_EXIT, task);
        },
        &watcher);
    EXPECT_LT(used, 1024u + 128 + sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
