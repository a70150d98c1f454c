/* SPDX-License-Identifier: MIT */
/*
 * Of threads that all wait for any child with waitid, each child is returned to one. A thread that is cancelled in it has
 * taken nothing: the child is there for others.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "check.h"

#define CHILDREN 300
#define THREADS 4

static atomic_int taken[CHILDREN];
static pid_t children[CHILDREN];

static void *take_all(void *unused)
{
    siginfo_t info = {0};

    (void)unused;
    while (waitid(P_ALL, 0, &info, WEXITED) == 0)
        for (int i = 0; i < CHILDREN; i++)
            if (children[i] == info.si_pid) {
                CHECK_EQUAL(info.si_code, i % 2 ? CLD_KILLED : CLD_EXITED);
                CHECK_EQUAL(info.si_status, i % 2 ? SIGKILL : i % 100);
                atomic_fetch_add(&taken[i], 1);
            }
    CHECK_EQUAL(errno, ECHILD);
    return NULL;
}

static void *wait_for_one(void *child)
{
    siginfo_t info;

    waitid(P_PID, (id_t) * (pid_t *)child, &info, WEXITED);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int barrier[2], status;
    void *result;
    pid_t child;

    CHECK_EQUAL(pipe(barrier), 0);
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        close(barrier[1]);
        if (read(barrier[0], &status, 1) == 0 && i % 2)
            raise(SIGKILL);
        _exit(i % 100);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, take_all, NULL), 0);
    close(barrier[1]); /* all at once */
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CHILDREN; i++)
        CHECK_EQUAL(taken[i], 1);

    child = fork();
    if (child == 0)
        for (;;)
            pause();
    CHECK_EQUAL(pthread_create(&threads[0], NULL, wait_for_one, &child), 0);
    CHECK_EQUAL(pthread_cancel(threads[0]), 0);
    CHECK_EQUAL(pthread_join(threads[0], &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    kill(child, SIGKILL);
    CHECK_EQUAL(waitpid(child, &status, 0), child);
    no_children_left();
    return 0;
}
