/* SPDX-License-Identifier: MIT */
/*
 * Each function that sets ids is told once after it has worked, with the four ids before and after;
 * UNCHANGED when none differs. The value that setfsuid and setfsgid read back is theirs.
 *
 * main: exec exit free
 * needs: root
 */
#include "ids.h"

static void check(const struct id_function *f, uid_t id, const char *sequence)
{
    struct task_watch_ids before = ids_of_thread("self", f->event);
    uint32_t mark = events_so_far();
    int result = f->call(id);
    const struct record *told = event_number(mark);

    CHECK_EQUAL(result, f->reads_back ? (int)before.filesystem : 0);
    EXPECT_SINCE(mark, sequence);
    CHECK_TEXT(told->call, f->name);
    CHECK_EQUAL(told->pid, getpid());
    CHECK_EQUAL(told->by, gettid());
    check_ids(told->old_ids, before);
    check_ids(told->ids, ids_of_thread("self", f->event));
    CHECK_EQUAL(ids_of_thread("self", f->event).filesystem, id);
}

int main(void)
{
    for (size_t i = 0; i < ID_FUNCTIONS; i++) {
        int of_users = id_functions[i].event == WATCH_TASK_UID;
        pid_t child = fork();

        if (child == 0) {
            check(&id_functions[i], NOBODY, of_users ? "uid" : "gid");
            check(&id_functions[i], NOBODY, of_users ? "uid+unchanged" : "gid+unchanged");
            _exit(0);
        }
        CHECK_EQUAL(status_of(child), 0);
        EXPECT_TASK(child, of_users ? "init clone uid uid+unchanged exit free"
                                    : "init clone gid gid+unchanged exit free");
    }
    return 0;
}
