/* SPDX-License-Identifier: MIT */
/*
 * A watcher that asked for BEFORE can stop a change of ids: the call fails with its errno (setfsuid and
 * setfsgid return what is) and nothing changes. The STOP of one that did not ask changes nothing.
 *
 * recorder: wants=all+before
 * watchers: recorder second
 * main: exec exit free
 * needs: root
 */
#include "ids.h"

int main(void)
{
    for (size_t i = 0; i < ID_FUNCTIONS; i++) {
        const struct id_function *f = &id_functions[i];
        int of_users = f->event == WATCH_TASK_UID;
        struct task_watch_ids before;
        uint32_t mark;
        pid_t child = fork();

        if (child == 0) {
            before = ids_of_thread("self", f->event);
            mark = events_so_far();
            stop_at(f->mask, notifier_from_errno(-EDOM));
            errno = 0;
            CHECK_EQUAL(f->call(NOBODY), f->reads_back ? 0 : -1);
            CHECK_EQUAL(errno, f->reads_back ? 0 : EDOM);
            EXPECT_SINCE(mark, of_users ? "uid+before" : "gid+before");
            check_ids(event_number(mark)->ids, before);
            check_ids(ids_of_thread("self", f->event), before);
            stop_nothing();

            set_rule_of("second", RULE_RETURN, f->mask, NOTIFY_BAD);
            mark = events_so_far();
            CHECK_EQUAL(f->call(NOBODY), 0);
            EXPECT_SINCE(mark, of_users ? "uid+before uid" : "gid+before gid");
            CHECK_EQUAL(ids_of_thread("self", f->event).filesystem, NOBODY);
            set_rule_of("second", RULE_NONE, 0, 0);
            _exit(0);
        }
        CHECK_EQUAL(status_of(child), 0);
    }
    return 0;
}
