/* SPDX-License-Identifier: MIT */
/*
 * Children that no wrapper saw (an instruction of its own) get an id at first sight: the first event is flagged, EXIT
 * and FREE come as for others, and what they create has them as its parent.
 *
 * watched: part
 */
#include "../../watchers/raw.h"
#include "check.h"

static pid_t raw_fork(void)
{
    return (pid_t)raw_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

int main(void)
{
    uint32_t mark = events_so_far();
    const struct record *first;
    pid_t child = raw_fork();

    if (child == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_SINCE(mark, "exit+adopted free");
    first = event_number(mark);
    CHECK_EQUAL(first->pid, child);
    CHECK_EQUAL(first->ppid, getpid());
    CHECK_EQUAL(first->exit_status, exited(3));
    CHECK(first->id != 0 && first->id != newest_id_of(getpid()));

    mark = events_so_far();
    child = raw_fork();
    if (child == 0) {
        pid_t inner = fork();

        if (inner == 0)
            _exit(4);
        CHECK_EQUAL(status_of(inner), exited(4));
        _exit(5);
    }
    CHECK_EQUAL(status_of(child), exited(5));
    EXPECT_SINCE(mark, "init clone exit free exit+adopted free");
    CHECK_EQUAL(event_number(mark)->parent_id, event_number(mark + 4)->id);
    CHECK_EQUAL(event_number(mark)->ppid, child);

    mark = events_so_far();
    child = raw_fork();
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_SINCE(mark, "exec+adopted exit free");
    return 0;
}
