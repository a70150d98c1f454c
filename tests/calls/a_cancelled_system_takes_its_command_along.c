/* SPDX-License-Identifier: MIT */
/*
 * A thread that is cancelled in system(): the command is killed and reaped, its end told, before anybody can
 * join the thread; SIGINT and SIGQUIT are the program's again. So does libc's.
 *
 * compare: bare
 * main: exec exit free
 */
#include <pthread.h>

#include "shell_text.h"

static int started[2];
static char command[64];
static sigset_t mask_in_cleanup;

static void look_at_mask(void *unused)
{
    (void)unused;
    CHECK_EQUAL(pthread_sigmask(SIG_SETMASK, NULL, &mask_in_cleanup), 0);
}

static void *run(void *unused)
{
    (void)unused;
    pthread_cleanup_push(look_at_mask, NULL);
    system(command);
    pthread_cleanup_pop(0);
    return NULL;
}

static pid_t read_pid(void)
{
    char text[16] = "";
    size_t n = 0;

    while (n < sizeof text - 1 && read(started[0], text + n, 1) == 1 && text[n] != '\n')
        n++;
    return atoi(text);
}

static pid_t cancel_one(void)
{
    pthread_t thread;
    struct sigaction action;
    void *result;
    pid_t shell;

    CHECK_EQUAL(pthread_create(&thread, NULL, run, NULL), 0);
    shell = read_pid();
    CHECK(shell > 0);
    CHECK_EQUAL(sigaction(SIGINT, NULL, &action), 0);
    CHECK(action.sa_handler == SIG_IGN);
    CHECK_EQUAL(pthread_cancel(thread), 0);
    CHECK_EQUAL(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
    no_children_left();
    CHECK_EQUAL(kill(shell, 0), -1);
    for (int i = 0; i < 2; i++) {
        CHECK_EQUAL(sigaction(i ? SIGINT : SIGQUIT, NULL, &action), 0);
        CHECK(action.sa_handler == SIG_DFL);
    }
    return shell;
}

int main(void)
{
    pid_t shell;

    CHECK_EQUAL(pipe(started), 0);
    snprintf(command, sizeof command, "echo $$ >&%d; kill -STOP $$", started[1]);
    shell = cancel_one();
    if (under_preload()) {
        EXPECT_TASK(shell, "init clone exec exit+behalf free+behalf");
        CHECK_EQUAL(last_of(shell, WATCH_TASK_EXIT)->exit_status, SIGKILL);
        CHECK_TEXT(last_of(shell, WATCH_TASK_EXIT)->call, "system");
        /* libc leaves that blocked. */
        CHECK_EQUAL(sigismember(&mask_in_cleanup, SIGCHLD), 0);
    }
    /* It is not a matter of the first time. */
    cancel_one();
    CHECK_EQUAL(system("exit 3"), exited(3));
    return 0;
}
