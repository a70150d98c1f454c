/* SPDX-License-Identifier: MIT */
/*
 * setresuid in a process with threads changes the ids of all of them and is told once, in the thread that
 * called.
 *
 * main: exec exit free
 * needs: root
 */
#include <pthread.h>

#include "ids.h"

static int from_main[2];
static pid_t tids[3];
static pthread_barrier_t all_here;

static void *thread(void *argument)
{
    tids[(intptr_t)argument] = gettid();
    pthread_barrier_wait(&all_here);
    await_byte(from_main[0]);
    return NULL;
}

static void child(void)
{
    pthread_t threads[3];
    char name[16];
    uint32_t mark;

    CHECK_EQUAL(pipe(from_main), 0);
    CHECK_EQUAL(pthread_barrier_init(&all_here, NULL, 4), 0);
    for (intptr_t i = 0; i < 3; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
    pthread_barrier_wait(&all_here);
    mark = events_so_far();
    CHECK_EQUAL(setresuid(NOBODY, NOBODY, NOBODY), 0);
    EXPECT_SINCE(mark, "uid");
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%d", tids[i]);
        CHECK_EQUAL(ids_of_thread(name, WATCH_TASK_UID).real, NOBODY);
        CHECK_EQUAL(ids_of_thread(name, WATCH_TASK_UID).filesystem, NOBODY);
    }
    close(from_main[1]);
    for (int i = 0; i < 3; i++)
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    _exit(0);
}

int main(void)
{
    pid_t pid = fork();

    if (pid == 0)
        child();
    CHECK_EQUAL(status_of(pid), 0);
    EXPECT_TASK(pid, "init clone uid exit free");
    return 0;
}
