/* SPDX-License-Identifier: MIT */
/*
 * threads [END]: threads in every way of making and ending, and what ends them together. Without END it starts itself
 * once for each of the ends below, one after the other.
 *
 *   leader-execs, thread-execs, late-thread-execs   an exec by the leader, by another thread, and by another one
 *                                                   whose leader has left by pthread_exit before
 *   leader-exits, thread-exits, killed              exit() by the leader, by another thread, SIGKILL: others run on
 *   leader-leaves                                   pthread_exit() by the leader, the others end by themselves
 *   forks                                           forks and spawns by threads
 *   ids                                             a change of ids, which libc repeats in each thread
 */
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define IDLE 3

static pthread_barrier_t ready;
static char *program;
static pthread_t leader;

static void *idle(void *argument)
{
    pthread_barrier_wait(&ready);
    for (;;)
        pause();
    return argument;
}

/* Threads that run until something ends them. */
static void start_idle(void)
{
    pthread_t thread;

    pthread_barrier_init(&ready, NULL, IDLE + 1);
    for (int i = 0; i < IDLE; i++)
        pthread_create(&thread, NULL, idle, NULL);
    pthread_barrier_wait(&ready);
}

static void exec_end(void)
{
    execl(program, program, "end", NULL);
    _exit(98);
}

static void *exec_in_thread(void *argument)
{
    if (argument) /* its leader has gone */
        pthread_join(leader, NULL);
    exec_end();
    return NULL;
}

static void *exit_in_thread(void *argument)
{
    exit(33);
    return argument;
}

static void *fork_in_thread(void *argument)
{
    char *arguments[] = {"true", NULL};
    pid_t pid = fork();

    if (pid == 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, exec_in_thread, NULL) == 0)
            pthread_join(thread, NULL);
        _exit(97);
    }
    waitpid(pid, NULL, 0);
    if (vfork() == 0)
        _exit(5);
    while (wait(NULL) < 0)
        ;
    if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, NULL) == 0)
        waitpid(pid, NULL, 0);
    return argument;
}

static void *leave(void *argument)
{
    pthread_exit(argument);
}

static void *wait_to_be_cancelled(void *argument)
{
    for (;;)
        pause();
    return argument;
}

static int leave_by_return(void *argument)
{
    return argument != NULL;
}

/* One of them sees the leader end, the others it. */
static void *last_breath(void *argument)
{
    if (argument)
        pthread_join(leader, NULL);
    pthread_barrier_wait(&ready);
    return NULL;
}

static void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, function, argument) == 0)
        pthread_join(thread, NULL);
}

/* --- the ends */

static void leader_execs(void)
{
    start_idle();
    exec_end();
}

static void thread_execs(void)
{
    start_idle();
    in_thread(exec_in_thread, NULL);
}

static void late_thread_execs(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, exec_in_thread, &leader);
    pthread_exit(NULL);
}

static void leader_exits(void)
{
    start_idle();
    exit(32);
}

static void thread_exits(void)
{
    start_idle();
    in_thread(exit_in_thread, NULL);
}

static void killed(void)
{
    start_idle();
    kill(getpid(), SIGKILL);
}

static void leader_leaves(void)
{
    pthread_t thread;

    pthread_barrier_init(&ready, NULL, IDLE);
    for (int i = 0; i < IDLE; i++)
        pthread_create(&thread, NULL, last_breath, i == 0 ? &leader : NULL);
    pthread_exit(NULL);
}

static void forks(void)
{
    pthread_t threads[2];

    for (size_t i = 0; i < COUNT(threads); i++) {
        pthread_create(&threads[i], NULL, fork_in_thread, NULL);
        pthread_join(threads[i], NULL);
    }
    exit(34);
}

static void ids(void)
{
    int failed;

    start_idle();
    failed = setegid(11) + setegid(0) + seteuid(11) + seteuid(0);
    exit(35 + failed);
}

static const struct {
    const char *name;
    void (*run)(void);
} ends[] = {
    {"leader-execs", leader_execs}, {"thread-execs", thread_execs}, {"late-thread-execs", late_thread_execs},
    {"leader-exits", leader_exits}, {"thread-exits", thread_exits}, {"killed", killed},
    {"leader-leaves", leader_leaves}, {"forks", forks}, {"ids", ids},
};

static void live_and_end(void)
{
    pthread_attr_t detached;
    pthread_t thread;
    thrd_t other;

    for (int i = 0; i < 4; i++) {
        in_thread(leave, NULL);
        if (thrd_create(&other, leave_by_return, NULL) == thrd_success)
            thrd_join(other, NULL);
    }
    if (pthread_create(&thread, NULL, wait_to_be_cancelled, NULL) == 0) {
        pthread_cancel(thread);
        pthread_join(thread, NULL);
    }
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_create(&thread, &detached, leave, NULL);
    pthread_attr_destroy(&detached);
}

int main(int argc, char **argv)
{
    leader = pthread_self();
    program = argv[0];
    if (argc > 1) {
        for (size_t i = 0; i < COUNT(ends); i++)
            if (strcmp(ends[i].name, argv[1]) == 0)
                ends[i].run();
        return 36;
    }
    for (size_t i = 0; i < COUNT(ends); i++) {
        pid_t pid = fork();

        if (pid == 0) {
            execl(program, program, ends[i].name, NULL);
            _exit(99);
        }
        waitpid(pid, NULL, 0);
    }
    live_and_end();
    return 37;
}
