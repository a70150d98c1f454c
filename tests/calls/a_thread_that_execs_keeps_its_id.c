/* SPDX-License-Identifier: MIT */
/*
 * A thread that is not the leader execs: its task goes on under the leader's pid with its own id; the old
 * leader's task and the other threads' end, on behalf.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

static void *sleep_on(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void *replace(void *unused)
{
    (void)unused;
    execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
    _exit(126);
}

static int count_of(uint64_t id, uint32_t event, const char *flags)
{
    char text[64];
    int n = 0;

    for (uint32_t i = 0; i < events_so_far(); i++) {
        text[0] = '\0';
        append_event(text, sizeof text, event_number(i));
        n += event_number(i)->id == id && event_number(i)->event == event && strcmp(strchrnul(text, '+'), flags) == 0;
    }
    return n;
}

int main(void)
{
    const struct record *exec = NULL;
    uint64_t leader = 0, execing = 0, sleeping = 0;
    uint32_t mark = events_so_far();
    pid_t child = fork();

    if (child == 0) {
        pthread_t threads[2];

        CHECK_EQUAL(pthread_create(&threads[0], NULL, sleep_on, NULL), 0);
        CHECK_EQUAL(pthread_create(&threads[1], NULL, replace, NULL), 0);
        for (;;)
            pause();
    }
    CHECK_EQUAL(status_of(child), exited(3));
    for (uint32_t i = mark; i < events_so_far(); i++) {
        const struct record *r = event_number(i);

        if (r->event == WATCH_TASK_INIT)
            *(!leader ? &leader : !sleeping ? &sleeping : &execing) = r->id;
        if (r->event == WATCH_TASK_EXEC)
            exec = r;
    }
    CHECK(exec != NULL);
    CHECK_EQUAL(exec->pid, child);
    CHECK_EQUAL(exec->tgid, child);
    CHECK_EQUAL(exec->id, execing);
    CHECK_EQUAL(count_of(execing, WATCH_TASK_EXIT, ""), 1);
    CHECK_EQUAL(count_of(execing, WATCH_TASK_FREE, ""), 1);
    CHECK_EQUAL(count_of(leader, WATCH_TASK_EXIT, "+behalf"), 1);
    CHECK_EQUAL(count_of(leader, WATCH_TASK_FREE, "+behalf"), 1);
    CHECK_EQUAL(count_of(sleeping, WATCH_TASK_EXIT, "+behalf"), 1);
    CHECK_EQUAL(count_of(sleeping, WATCH_TASK_FREE, "+behalf"), 1);
    return 0;
}
