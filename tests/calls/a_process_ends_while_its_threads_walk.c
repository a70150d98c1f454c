/* SPDX-License-Identifier: MIT */
/*
 * While four threads make threads one after the other, their process ends: by exit and _exit in the main
 * one or another, and by an exec in another. It does not hang, its status is what it asked for, and of each task that
 * was made the end is told once, or again to the watcher in whose callback the thread was that told it. (A thread may be
 * cut off in the middle of writing a record, so the runner does not look at lives.)
 *
 * watched: cut
 * main: exec exit free
 */
#include <pthread.h>
#include <threads.h>

#include "check.h"
#include "own.h"

#define WALKERS 4
#define ROUNDS 8
#define THREADS 12 /* of each kind, by each walker: the records of all have to fit */

static void *nothing(void *unused) { return unused; }
static int nothing_either(void *unused) { return unused != NULL; }

static void *walk(void *unused)
{
    pthread_t thread;
    thrd_t other;

    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, nothing, NULL) == 0)
            pthread_join(thread, NULL);
        if (thrd_create(&other, nothing_either, unused) == thrd_success)
            thrd_join(other, NULL);
    }
    for (;;)
        pause();
    return unused;
}

static void end_now(int way)
{
    char path[4096];

    switch (way / 2) {
    case 0: exit(3);
    case 1: _exit(3);
    default:
        snprintf(path, sizeof path, "%s/target", getenv("TEST_BUILD"));
        execl(path, "target", "exit", "3", (char *)NULL);
        _exit(126);
    }
}

static void *end_elsewhere(void *way)
{
    end_now(*(int *)way);
    return NULL;
}

static void live_and_end(int way, uint32_t enough)
{
    pthread_t thread;

    for (int i = 0; i < WALKERS; i++)
        CHECK_EQUAL(pthread_create(&thread, NULL, walk, NULL), 0);
    while (events_so_far() < enough)
        sched_yield();
    if (way % 2 == 0)
        end_now(way);
    CHECK_EQUAL(pthread_create(&thread, NULL, end_elsewhere, &way), 0);
    for (;;)
        pause();
}

static int by_id(const void *a, const void *b)
{
    uint64_t left = (*(const struct record *const *)a)->id, right = (*(const struct record *const *)b)->id;

    return left < right ? -1 : left > right;
}

/* Of each task that has a complete CLONE: one EXIT and one FREE, or if its callback was cut off, one told again. */
static void check_ends(void)
{
    static const struct record *records[RECORD_CAPACITY];
    uint32_t count = events_so_far();
    size_t used = 0;

    for (uint32_t i = 0; i < count; i++)
        if (event_number(i)->complete && event_number(i)->id)
            records[used++] = event_number(i);
    qsort(records, used, sizeof *records, by_id);
    for (size_t begin = 0, end; begin < used; begin = end) {
        int cloned = 0, ended[2] = {0, 0}, freed[2] = {0, 0};

        for (end = begin; end < used && records[end]->id == records[begin]->id; end++) {
            cloned += records[end]->event == WATCH_TASK_CLONE;
            ended[(records[end]->flags & WATCH_AGAIN) != 0] += records[end]->event == WATCH_TASK_EXIT;
            freed[(records[end]->flags & WATCH_AGAIN) != 0] += records[end]->event == WATCH_TASK_FREE;
        }
        if (!cloned || records[begin]->tgid == getpid())
            continue;
        CHECK(ended[0] <= 1 && ended[0] + ended[1] > 0);
        CHECK(freed[0] <= 1 && freed[0] + freed[1] > 0);
    }
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < 6; way++) {
            pid_t child = fork();

            if (child == 0)
                live_and_end(way, events_so_far() + 100);
            CHECK_EQUAL(status_of(child), exited(3));
        }
    /* Who was cut off while it told its own end is not told of before the wait (LIMITS.md). */
    taskwatch_sweep();
    CHECK(events_so_far() < RECORD_CAPACITY);
    check_ends();
    return 0;
}
