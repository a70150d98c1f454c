/* SPDX-License-Identifier: MIT */
/*
 * subject WHAT: the program that the sweep kills. Its first process makes another, the creator, which makes WHAT after the
 * call "begin" (sweep.cpp); when nothing else is left, the first process sweeps and ends.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int taskwatch_sweep(void) __attribute__((weak));

static char *program;
static char stack[1 << 16] __attribute__((aligned(16)));
static char *leaf[] = {NULL, "leaf", NULL};

/* Not through libc: it is a mark for the tracer, not a call of the program. */
static void mark(long which)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_getpgid), "D"(which) : "rcx", "r11", "memory");
}

static void wait_for(pid_t child)
{
    int status;

    if (child > 0)
        waitpid(child, &status, 0);
}

static int child_of_clone(void *argument)
{
    _exit((int)(long)argument);
}

static void *returns(void *argument) { return argument; }

static _Noreturn void *sleeps(void *argument)
{
    *(volatile int *)argument = 1;
    for (;;)
        pause();
}

static void *replaces(void *argument)
{
    (void)argument;
    execv(program, leaf);
    return NULL;
}

static void *ends_the_process(void *argument)
{
    (void)argument;
    _exit(5);
}

static void start(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, function, argument) == 0)
        pthread_detach(thread);
}

static void start_sleeper(void)
{
    static volatile int sleeping;

    start(sleeps, (void *)&sleeping);
    while (!sleeping)
        sched_yield();
}

static void by_fork(void)
{
    pid_t child = fork();

    if (child == 0)
        exit(3);
    wait_for(child);
}

static void by_killed_child(void)
{
    pid_t child = fork();

    if (child == 0)
        kill(getpid(), SIGKILL);
    wait_for(child);
}

static void by_vfork(void)
{
    pid_t child = vfork();

    if (child == 0)
        _exit(4);
    wait_for(child);
}

static void by_vfork_and_exec(void)
{
    pid_t child = vfork();

    if (child == 0) {
        execv(program, leaf);
        _exit(98);
    }
    wait_for(child);
}

static void by_clone(void) { wait_for(clone(child_of_clone, stack + sizeof stack, SIGCHLD, (void *)6L)); }
static void by_clone_vm(void) { wait_for(clone(child_of_clone, stack + sizeof stack, CLONE_VM | SIGCHLD, (void *)6L)); }

static void by_spawn(void)
{
    pid_t child;

    if (posix_spawn(&child, program, NULL, NULL, leaf, environ) == 0)
        wait_for(child);
}

static void by_failing_spawn(void)
{
    pid_t child;

    if (posix_spawn(&child, "/does/not/exist", NULL, NULL, leaf, environ) == 0)
        wait_for(child);
}

static void by_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, returns, NULL) == 0)
        pthread_join(thread, NULL);
}

static void by_system(void)
{
    if (system("exit 7") < 0)
        _exit(97);
}

static void by_popen(void)
{
    FILE *stream = popen("exit 8", "r");

    if (stream)
        pclose(stream);
}

static void by_raw_fork(void)
{
    pid_t child = (pid_t)syscall(SYS_fork);

    if (child == 0)
        syscall(SYS_exit_group, 3);
    wait_for(child);
}

static void by_exec(void) { execv(program, leaf); }

static void by_exec_over_threads(void)
{
    start_sleeper();
    execv(program, leaf);
}

static void by_exec_in_a_thread(void)
{
    start(replaces, NULL);
    for (;;)
        pause();
}

static void by_exit_over_threads(void)
{
    start_sleeper();
    exit(9);
}

static void by_exit_in_a_thread(void)
{
    start(ends_the_process, NULL);
    for (;;)
        pause();
}

static void by_abort(void) { abort(); }

static void by_leader_that_leaves(void)
{
    start(returns, NULL);
    pthread_exit(NULL);
}

static void by_orphan(void)
{
    if (fork() == 0) {
        usleep(1000);
        exit(2);
    }
}

static const struct {
    const char *name;
    void (*make)(void);
} scenarios[] = {
    {"fork", by_fork}, {"killed-child", by_killed_child}, {"vfork", by_vfork}, {"vfork-exec", by_vfork_and_exec},
    {"clone", by_clone}, {"clone-vm", by_clone_vm}, {"spawn", by_spawn}, {"failing-spawn", by_failing_spawn},
    {"thread", by_thread}, {"system", by_system}, {"popen", by_popen}, {"raw-fork", by_raw_fork}, {"exec", by_exec},
    {"exec-over-threads", by_exec_over_threads}, {"exec-in-a-thread", by_exec_in_a_thread},
    {"exit-over-threads", by_exit_over_threads}, {"exit-in-a-thread", by_exit_in_a_thread}, {"abort", by_abort},
    {"leader-leaves", by_leader_that_leaves}, {"orphan", by_orphan},
};

int main(int count, char **arguments)
{
    struct rlimit none = {0, 0};
    size_t n = 0;

    program = leaf[0] = arguments[0];
    if (count == 2 && strcmp(arguments[1], "leaf") == 0)
        return 11;
    while (n < sizeof scenarios / sizeof *scenarios && (count != 2 || strcmp(arguments[1], scenarios[n].name) != 0))
        n++;
    if (n == sizeof scenarios / sizeof *scenarios) {
        for (n = 0; n < sizeof scenarios / sizeof *scenarios; n++)
            puts(scenarios[n].name);
        return count == 2;
    }
    setrlimit(RLIMIT_CORE, &none);
    pid_t creator = fork();
    if (creator == 0) {
        mark(-1001);
        scenarios[n].make();
        exit(1);
    }
    wait_for(creator);
    mark(-1002);
    if (taskwatch_sweep)
        taskwatch_sweep();
    return 0;
}
