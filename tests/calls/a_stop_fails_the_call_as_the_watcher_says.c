/* SPDX-License-Identifier: MIT */
/*
 * A stopped creation fails with the errno that the watcher packed, with a raw negative one, with EAGAIN for a
 * plain NOTIFY_STOP and EPERM for NOTIFY_BAD; posix_spawn returns the number. A positive errno does not stop.
 * FREE follows, with that error and the watcher's name. At INIT and at CLONE.
 *
 * main: exec exit free
 */
#include <spawn.h>

#include "check.h"

static const struct {
    int value, error;
} values[] = {
    {NOTIFY_STOP, EAGAIN},          {NOTIFY_BAD, EPERM}, {NOTIFY_STOP_MASK, EAGAIN}, {-EACCES, EACCES},
    {NOTIFY_STOP_MASK | (NOTIFY_OK + EDQUOT), EDQUOT}, {-EUCLEAN, EUCLEAN},
};

static void check_free(uint32_t mark, const char *sequence, int error)
{
    const struct record *last = event_number(events_so_far() - 1);

    EXPECT_SINCE(mark, sequence);
    CHECK_EQUAL(last->error, error);
    CHECK_TEXT(last->stopped_by, "recorder");
    CHECK_EQUAL(last->id, event_number(mark)->id);
    CHECK_EQUAL(last->process, getpid());
    no_children_left();
}

static void stop_with(uint32_t events, int value, int error, const char *sequence)
{
    static char *const argv[] = {"true", NULL};
    uint32_t mark = events_so_far();
    pid_t pid = -7;

    stop_at(events, value);
    errno = 0;
    CHECK_EQUAL(fork(), -1);
    CHECK_EQUAL(errno, error);
    check_free(mark, sequence, error);

    mark = events_so_far();
    errno = 0;
    CHECK_EQUAL(vfork(), -1);
    CHECK_EQUAL(errno, error);
    check_free(mark, sequence, error);

    mark = events_so_far();
    errno = 0;
    CHECK_EQUAL(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ), error);
    CHECK_EQUAL(errno, error);
    CHECK_EQUAL(pid, -7);
    check_free(mark, sequence, error);
    stop_nothing();
}

int main(void)
{
    pid_t child;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        stop_with(WATCH_MASK_INIT, values[i].value, values[i].error, "init free");
        stop_with(WATCH_MASK_CLONE, values[i].value, values[i].error, "init clone free");
    }
    stop_at(WATCH_MASK_INIT | WATCH_MASK_CLONE, EAGAIN);
    child = fork();
    if (child == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), exited(3));
    EXPECT_TASK(child, "init clone exit free");
    return 0;
}
