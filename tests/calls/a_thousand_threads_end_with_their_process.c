/* SPDX-License-Identifier: MIT */
/*
 * A process with a thousand threads ends, by exit in the main one, by _exit in another, by an exec in another, or it is
 * killed. Each thread's EXIT and FREE are told once, on behalf, before the parent's wait returns.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

#define THREADS 1000

static int made, start[2];

static void *wait_for_ever(void *unused)
{
    __atomic_add_fetch(&made, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
    return unused;
}

static void *end_by(void *way)
{
    char path[4096];

    await_byte(start[0]);
    if (*(int *)way == 1)
        _exit(3);
    snprintf(path, sizeof path, "%s/target", getenv("TEST_BUILD"));
    execl(path, "target", "exit", "3", (char *)NULL);
    _exit(126);
}

static void live_and_end(int way)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    CHECK_EQUAL(pipe(start), 0);
    CHECK_EQUAL(pthread_create(&thread, &attributes, end_by, &way), 0);
    for (int i = 1; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&thread, &attributes, wait_for_ever, NULL), 0);
    while (__atomic_load_n(&made, __ATOMIC_SEQ_CST) < THREADS - 1)
        sched_yield();
    if (way == 0)
        exit(3);
    if (way == 3)
        raise(SIGKILL);
    send_byte(start[1], 'x');
    for (;;)
        pause();
}

/* Of this process's threads, since `mark`. */
static int count(uint32_t mark, pid_t process, uint32_t event, uint32_t flags)
{
    int n = 0;

    for (uint32_t i = mark; i < events_so_far(); i++) {
        const struct record *r = event_number(i);

        n += r->event == event && r->tgid == process && r->pid != process && (r->flags & flags) == flags;
    }
    return n;
}

int main(void)
{
    for (int way = 0; way < 4; way++) {
        uint32_t mark = events_so_far();
        pid_t child = fork();

        if (child == 0)
            live_and_end(way);
        CHECK_EQUAL(status_of(child), way == 3 ? SIGKILL : exited(3));
        CHECK_EQUAL(count(mark, child, WATCH_TASK_CLONE, 0), THREADS);
        /* One that ends the process itself tells its own end; one that execs goes on as the process. */
        CHECK_EQUAL(count(mark, child, WATCH_TASK_EXIT, WATCH_ON_BEHALF), way == 0 || way == 3 ? THREADS : THREADS - 1);
        CHECK_EQUAL(count(mark, child, WATCH_TASK_FREE, 0), way == 2 ? THREADS - 1 : THREADS);
    }
    return 0;
}
