/* SPDX-License-Identifier: MIT */
/*
 * The creator is SIGKILLed while CLONE's callback sleeps: the held child takes over, tells CLONE on behalf to
 * every watcher that was not told yet and again to the one that was being told, and runs on. fork, _Fork and clone.
 *
 * watchers: recorder second
 * main: exec exit free
 */
#include <sched.h>
#include <sys/prctl.h>

#include "check.h"

static int child(void *unused)
{
    (void)unused;
    _exit(7);
}

static pid_t plain_clone(void)
{
    static char stack[65536] __attribute__((aligned(16)));

    return clone(child, stack + sizeof stack, SIGCHLD, NULL);
}

int main(void)
{
    static const struct {
        pid_t (*function)(void);
        const char *call;
    } creations[] = {{fork, "fork"}, {_Fork, "_Fork"}, {plain_clone, "clone"}};

    CHECK_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    for (size_t i = 0; i < sizeof creations / sizeof *creations; i++) {
        pid_t creator = fork(), held;
        const struct record *taken;

        if (creator == 0) {
            pause_next(WATCH_MASK_CLONE, creations[i].call);
            if (creations[i].function() == 0)
                child(NULL);
            _exit(1);
        }
        await_pause();
        held = event_number(events_so_far() - 1)->pid;
        CHECK(held != creator);
        CHECK_EQUAL(kill(creator, SIGKILL), 0);
        CHECK_EQUAL(status_of(creator), SIGKILL);
        EXPECT_TASK(creator, "init clone exit+behalf free+behalf");
        CHECK_EQUAL(status_of(held), exited(7));
        EXPECT_TASK(held, "init clone clone+behalf+again exit free");
        EXPECT_TASK_OF("second", held, "init clone+behalf exit free");
        taken = last_of(held, WATCH_TASK_CLONE);
        CHECK_EQUAL(taken->process, held);
        CHECK_EQUAL(taken->context, TASKWATCH_NOT_HELD);
        CHECK_EQUAL(taken->ppid, creator);
        recording()->paused = 0;
    }
    return 0;
}
