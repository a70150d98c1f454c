/* SPDX-License-Identifier: MIT */
/*
 * A change of ids that the kernel refuses is told with FAILED and its error to a watcher that asked for it,
 * and to nobody else. errno and the value read back are the kernel's.
 *
 * watchers: recorder second
 * second: wants=uid+gid+failed
 * main: exec exit free
 * watched: part
 * needs: root
 */
#include "ids.h"

int main(void)
{
    for (size_t i = 0; i < ID_FUNCTIONS; i++) {
        const struct id_function *f = &id_functions[i];
        pid_t child = fork();

        if (child == 0) {
            struct task_watch_ids before;
            uint32_t marks[2];
            const struct record *failed;

            CHECK_EQUAL(setresgid(NOBODY, NOBODY, NOBODY), 0);
            CHECK_EQUAL(setresuid(NOBODY, NOBODY, NOBODY), 0);
            before = ids_of_thread("self", f->event);
            marks[0] = events_so_far();
            marks[1] = recording_of("second")->count;
            errno = 0;
            CHECK_EQUAL(f->call(0), f->reads_back ? (int)NOBODY : -1);
            CHECK_EQUAL(errno, f->reads_back ? 0 : EPERM);
            EXPECT_SINCE(marks[0], "");
            CHECK_EQUAL(recording_of("second")->count, marks[1] + 1);
            failed = &recording_of("second")->records[marks[1]];
            CHECK_EQUAL(failed->event, f->event);
            CHECK_EQUAL(failed->flags, WATCH_FAILED);
            CHECK_EQUAL(failed->error, EPERM);
            CHECK_TEXT(failed->call, f->name);
            check_ids(failed->ids, before);
            check_ids(ids_of_thread("self", f->event), before);
            _exit(0);
        }
        CHECK_EQUAL(status_of(child), 0);
    }
    return 0;
}
