/* SPDX-License-Identifier: MIT */
/*
 * Uses what a test measures, and tells what wait4 says of children.
 *   usage burn MILLISECONDS      of user time
 *   usage touch MEBIBYTES
 *   usage children               five short ones; for each "PID STATUS USER SYSTEM MAXRSS MINFLT MAJFLT NVCSW NIVCSW"
 *   usage waits                  a killed child for each wait function: "NAME PID"
 *   usage exec                   three that are nowhere and one that may not be executed
 *   usage main-leaves            the main thread ends first, another one ends the process with 5
 *   usage main-leaves-return     the same, and that one just returns
 *   usage thread-exits           another thread ends the process with 6
 *   usage thread-execs PROGRAM
 *   usage many COUNT PROGRAM     so many at once
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long user_ms(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
}

static void burn(long milliseconds)
{
    while (user_ms() < milliseconds)
        for (volatile int i = 0; i < 1000000; i++)
            ;
}

static void touch(size_t mebibytes)
{
    size_t size = mebibytes << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        exit(1);
    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
}

static void child(int which)
{
    switch (which) {
    case 0:
        execl("/bin/true", "true", NULL);
        _exit(127);
    case 1:
        burn(20);
        raise(SIGKILL);
        break;
    case 2:
        touch(5);
        _exit(3);
    case 3:
        abort();
    default:
        execl("/bin/sh", "sh", "-c", "kill -9 $$", NULL);
        _exit(127);
    }
}

static long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000 + time.tv_usec;
}

static void children(void)
{
    for (int which = 0; which < 5; which++) {
        struct rusage usage;
        int status;
        pid_t pid = fork();

        if (pid == 0)
            child(which);
        if (wait4(pid, &status, 0, &usage) != pid)
            exit(1);
        printf("%d %d %ld %ld %ld %ld %ld %ld %ld\n", pid, status, microseconds(usage.ru_utime),
               microseconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, usage.ru_nvcsw,
               usage.ru_nivcsw);
    }
}

static pid_t killed_child(const char *name)
{
    pid_t pid = fork();

    if (pid == 0) {
        touch(1);
        raise(SIGKILL);
    }
    printf("%s %d\n", name, pid);
    fflush(stdout);
    return pid;
}

static void waits(void)
{
    struct rusage usage;
    siginfo_t info;

    killed_child("wait");
    wait(NULL);
    waitpid(killed_child("waitpid"), NULL, 0);
    killed_child("wait3");
    wait3(NULL, 0, NULL);
    wait4(killed_child("wait4"), NULL, 0, &usage);
    syscall(SYS_wait4, killed_child("SYS_wait4"), NULL, 0, NULL);
    syscall(SYS_waitid, P_PID, killed_child("SYS_waitid"), &info, WEXITED, NULL);
    waitid(P_PID, (id_t)killed_child("waitid"), &info, WEXITED);
}

static void *ends_with_5(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    exit(5);
}

static void *returns(void *main_thread)
{
    pthread_join(*(pthread_t *)main_thread, NULL);
    return NULL;
}

static void *ends_with_6(void *unused)
{
    (void)unused;
    exit(6);
}

static void *executes(void *program)
{
    execl(program, program, NULL);
    _exit(127);
}

static void main_leaves(void *(*function)(void *))
{
    static pthread_t self;
    pthread_t thread;

    self = pthread_self();
    pthread_create(&thread, NULL, function, &self);
    pthread_detach(thread);
    pthread_exit(NULL);
}

static void in_thread(void *(*function)(void *), void *argument)
{
    pthread_t thread;

    pthread_create(&thread, NULL, function, argument);
    pthread_join(thread, NULL);
}

static void many(int count, char *program)
{
    int barrier[2];
    char byte;

    if (pipe(barrier) != 0)
        exit(1);
    for (int i = 0; i < count; i++) {
        if (fork() != 0)
            continue;
        close(barrier[1]);
        if (read(barrier[0], &byte, 1) == 0)
            execl(program, program, NULL);
        _exit(127);
    }
    close(barrier[1]); /* all at once */
    while (wait(NULL) > 0)
        ;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "burn") == 0)
        burn(atol(argv[2]));
    else if (strcmp(what, "touch") == 0)
        touch((size_t)atol(argv[2]));
    else if (strcmp(what, "children") == 0)
        children();
    else if (strcmp(what, "waits") == 0)
        waits();
    else if (strcmp(what, "exec") == 0) {
        for (int i = 0; i < 3; i++)
            execl("/nowhere/program", "program", NULL);
        execl("/etc/passwd", "passwd", NULL);
    } else if (strcmp(what, "main-leaves") == 0)
        main_leaves(ends_with_5);
    else if (strcmp(what, "main-leaves-return") == 0)
        main_leaves(returns);
    else if (strcmp(what, "thread-exits") == 0)
        in_thread(ends_with_6, NULL);
    else if (strcmp(what, "thread-execs") == 0)
        in_thread(executes, argv[2]);
    else if (strcmp(what, "many") == 0)
        many(atoi(argv[2]), argv[3]);
    else
        return 2;
    return 0;
}
