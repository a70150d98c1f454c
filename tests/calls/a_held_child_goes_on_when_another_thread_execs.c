/* SPDX-License-Identifier: MIT */
/*
 * While CLONE's callback sleeps in one thread another one execs, as the leader or not, and the creating
 * thread is gone. The held child takes over; the new image goes on under the creator's id.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <sys/prctl.h>

#include "check.h"

static void *create(void *unused)
{
    (void)unused;
    if (fork() == 0)
        _exit(7);
    return NULL;
}

static void *replace(void *unused)
{
    (void)unused;
    await_pause();
    execl("/bin/cat", "cat", (char *)NULL);
    _exit(126);
}

static void creator(int leader_execs, int input)
{
    pthread_t thread;

    CHECK_EQUAL(dup2(input, STDIN_FILENO), STDIN_FILENO);
    pause_next(WATCH_MASK_CLONE, "fork");
    CHECK_EQUAL(pthread_create(&thread, NULL, leader_execs ? create : replace, NULL), 0);
    (leader_execs ? replace : create)(NULL);
}

int main(void)
{
    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (int leader_execs = 0; leader_execs < 2; leader_execs++) {
        int pipe_fd[2];
        pid_t child, held;

        CHECK_EQUAL(pipe2(pipe_fd, O_CLOEXEC), 0);
        child = fork();
        if (child == 0)
            creator(leader_execs, pipe_fd[0]);
        await_event(child, WATCH_TASK_EXEC);
        held = 0;
        for (uint32_t i = 0; i < events_so_far(); i++)
            if (event_number(i)->event == WATCH_TASK_CLONE && event_number(i)->ppid == child)
                held = event_number(i)->pid;
        CHECK(held > 0);
        /* The new image lives: its parent is not gone, only the thread. */
        await_event(held, WATCH_TASK_FREE);
        EXPECT_TASK(held, "init clone clone+behalf+again exit free");
        close(pipe_fd[0]);
        close(pipe_fd[1]);
        CHECK_EQUAL(status_of(child), 0);
        EXPECT_TASK(child, "init clone exec exit free");
        CHECK_EQUAL(status_of(held), exited(7));
        recording()->paused = 0;
    }
    return 0;
}
