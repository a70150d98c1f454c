/* SPDX-License-Identifier: MIT */
/*
 * The end of a process is told once with the status that its parent sees: exit, return from main, _exit,
 * _Exit, quick_exit, exit in a thread, in a signal handler and in an atexit handler, more than a byte, the
 * last thread's end; and by its parent's wait if a signal has ended it. A thread that ends the process tells it
 * on behalf of the main one.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <sys/resource.h>

#include "check.h"

static void *exit_in_thread(void *unused)
{
    (void)unused;
    exit(14);
}

static void exit_in_handler(int number)
{
    (void)number;
    exit(15);
}

static void exit_again(void)
{
    exit(9);
}

static void *end_last(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    return NULL;
}

static void main_ends_first(void)
{
    static pthread_t self;
    pthread_t thread;

    self = pthread_self();
    CHECK_EQUAL(pthread_create(&thread, NULL, end_last, &self), 0);
    pthread_exit(NULL);
}

static void by_number(int number)
{
    static const struct rlimit no_core = {0, 0};
    pthread_t thread;
    char path[4096];

    setrlimit(RLIMIT_CORE, &no_core);
    switch (number) {
    case 0: exit(10);
    case 1: _exit(11);
    case 2: _Exit(12);
    case 3: quick_exit(13);
    case 4:
        pthread_create(&thread, NULL, exit_in_thread, NULL);
        pthread_join(thread, NULL);
        break;
    case 5:
        signal(SIGUSR1, exit_in_handler);
        raise(SIGUSR1);
        break;
    case 6:
        atexit(exit_again);
        exit(1);
    case 7: exit(259);
    case 8: _exit(-1);
    case 9: quick_exit(-2);
    case 10: main_ends_first(); break;
    case 11:
        snprintf(path, sizeof path, "%s/target", getenv("TEST_BUILD"));
        execl(path, "target", "exit", "300", (char *)NULL);
        break;
    case 12: raise(SIGKILL); break;
    case 13: abort();
    case 14: raise(SIGSEGV); break;
    case 15: raise(SIGTERM); break;
    }
    _exit(126);
}

static const struct {
    int status;
    const char *call, *sequence;
} ways[] = {
    {10 << 8, "exit", "init clone exit free"},
    {11 << 8, "_exit", "init clone exit free"},
    {12 << 8, "_exit", "init clone exit free"},
    {13 << 8, "quick_exit", "init clone exit free"},
    {14 << 8, "exit", "init clone exit+behalf free+behalf"},
    {15 << 8, "exit", "init clone exit free"},
    {9 << 8, "exit", "init clone exit free"},
    {3 << 8, "exit", "init clone exit free"},
    {255 << 8, "_exit", "init clone exit free"},
    {254 << 8, "quick_exit", "init clone exit free"},
    {0, "pthread_exit", "init clone exit free"},
    {44 << 8, "exit", "init clone exec exit free"},
    {SIGKILL, "waitpid", "init clone exit+behalf free+behalf"},
    {SIGABRT, "waitpid", "init clone exit+behalf free+behalf"},
    {SIGSEGV, "waitpid", "init clone exit+behalf free+behalf"},
    {SIGTERM, "waitpid", "init clone exit+behalf free+behalf"},
};

int main(void)
{
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        pid_t child = fork();

        if (child == 0)
            by_number((int)i);
        CHECK_EQUAL(status_of(child), ways[i].status);
        EXPECT_TASK(child, ways[i].sequence);
        CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, ways[i].status);
        CHECK_EQUAL(last_of(child, WATCH_TASK_FREE)->exit_status, ways[i].status);
        CHECK_TEXT(last_of(child, WATCH_TASK_EXIT)->call, ways[i].call);
    }
    return 0;
}
