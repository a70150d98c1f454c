/* SPDX-License-Identifier: MIT */
/*
 * A child was killed and taken away by a wait that nobody saw, so its end is still owed when the kernel gives its pid to
 * another one, which nobody saw either: that one is met as a new task, in its own image and in a later one, and the first one's
 * end is told when somebody looks.
 *
 * needs: root
 * watched: part
 */
#include <linux/sched.h>

#include "../../watchers/raw.h"
#include "check.h"
#include "own.h"

static uint64_t boottime_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The kernel tells the beginning of a process to a hundredth of a second. */
static void await_another_tick(void)
{
    for (uint64_t begin = boottime_ns(); boottime_ns() - begin < 20000000;)
        usleep(1000);
}

static pid_t killed_unseen(void)
{
    pid_t child = fork();

    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGKILL);
    CHECK_EQUAL(raw_call(SYS_wait4, child, 0, 0, 0, 0, 0), child);
    EXPECT_TASK(child, "init clone");
    await_another_tick();
    return child;
}

static pid_t raw_fork_as(pid_t pid)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};
    long result = raw_call(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0, 0);

    if (result == -EPERM || result == -ENOSYS) {
        printf("a pid cannot be chosen here: %s\n", strerror((int)-result));
        exit(77);
    }
    CHECK(result == 0 || result == pid);
    return (pid_t)result;
}

static void expect_both(pid_t pid, uint64_t first, const char *second)
{
    CHECK(newest_id_of(pid) != first);
    EXPECT_TASK(pid, second);
    CHECK_EQUAL(taskwatch_sweep(), 1);
    CHECK_EQUAL(newest_id_of(pid), first);
    EXPECT_TASK(pid, "init clone exit+behalf+unknown free+behalf+unknown");
}

int main(int argument_count, char **arguments)
{
    char target[4096];
    uint64_t first;
    pid_t child;

    /* The later image finds the session by its environment. */
    if (argument_count == 1 && !getenv("TASKWATCH_SESSION"))
        execv(getenv("TEST_PROGRAM"), arguments);
    child = killed_unseen();
    first = newest_id_of(child);
    if (raw_fork_as(child) == 0)
        _exit(3);
    CHECK_EQUAL(status_of(child), exited(3));
    expect_both(child, first, "exit+adopted free");

    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    char *again[] = {target, "exit", "4", NULL};
    child = killed_unseen();
    first = newest_id_of(child);
    if (raw_fork_as(child) == 0) {
        raw_call(SYS_execve, (long)target, (long)again, (long)environ, 0, 0, 0);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), exited(4));
    expect_both(child, first, "exec+adopted exit free");
    return 0;
}
