/* SPDX-License-Identifier: MIT */
/*
 * Four threads in system() at once: SIGINT and SIGQUIT stay ignored until the last has left and are the program's
 * then; each thread has its own mask back, the first to leave as well; a fork meanwhile can still use it.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "check.h"

#define THREADS 4
#define TIMES 8

static volatile sig_atomic_t interrupts;
static void on_interrupt(int number) { (void)number, interrupts++; }

static int child_is_blocked(void)
{
    sigset_t mask;

    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    return sigismember(&mask, SIGCHLD);
}

static void *run(void *argument)
{
    long code = (long)argument;
    char command[64];

    snprintf(command, sizeof command, "kill -INT $PPID; exit %ld", code);
    for (int i = 0; i < TIMES; i++) {
        CHECK_EQUAL(system(command), exited((int)code));
        CHECK_EQUAL(child_is_blocked(), 0);
    }
    return NULL;
}

static int pipes[2][2];

/* In it from before the others come until after they have left. */
static void *stay(void *unused)
{
    char command[64];

    (void)unused;
    snprintf(command, sizeof command, "echo >&%d; read x <&%d", pipes[0][1], pipes[1][0]);
    CHECK_EQUAL(system(command), 0);
    CHECK_EQUAL(child_is_blocked(), 0);
    return NULL;
}

static __sighandler_t handler_of(int number)
{
    struct sigaction action;

    CHECK_EQUAL(sigaction(number, NULL, &action), 0);
    return action.sa_handler;
}

int main(void)
{
    pthread_t threads[THREADS], staying;
    pid_t child;

    CHECK(signal(SIGINT, on_interrupt) != SIG_ERR);
    CHECK_EQUAL(pipe(pipes[0]), 0);
    CHECK_EQUAL(pipe(pipes[1]), 0);
    CHECK_EQUAL(pthread_create(&staying, NULL, stay, NULL), 0);
    await_byte(pipes[0][0]);
    for (long i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_create(&threads[i], NULL, run, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQUAL(pthread_join(threads[i], NULL), 0);
    CHECK(handler_of(SIGINT) == SIG_IGN);
    CHECK(handler_of(SIGQUIT) == SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(WEXITSTATUS(system("exit 7")));
    CHECK_EQUAL(status_of(child), exited(7));
    send_byte(pipes[1][1], '\n');
    CHECK_EQUAL(pthread_join(staying, NULL), 0);
    CHECK(handler_of(SIGINT) == on_interrupt);
    CHECK(handler_of(SIGQUIT) == SIG_DFL);
    CHECK_EQUAL(interrupts, 0);
    no_children_left();
    return 0;
}
