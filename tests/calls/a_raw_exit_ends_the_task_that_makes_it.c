/* SPDX-License-Identifier: MIT */
/*
 * SYS_exit ends the calling thread's task: a process of one thread, a thread, the leader while another thread
 * goes on (one of libc's, or one that libc does not know), the last thread. SYS_exit_group ends all of them. Once each, with the status that was given.
 *
 * main: exec exit free
 */
#include <pthread.h>

#include "raw_clone.h"

static pid_t *shared_tid(void)
{
    static pid_t *tid;

    if (!tid)
        tid = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return tid;
}

/* A joinable thread ends by SYS_exit: libc's join waits for the kernel's word alone. */
static void *exit_thread(void *code)
{
    *shared_tid() = gettid();
    syscall(SYS_exit, (long)code);
    return NULL;
}

static void *exit_after(void *main_thread)
{
    char path[64];
    struct timespec nap = {0, 1000000};

    *shared_tid() = gettid();
    (void)main_thread;
    /* The leader is gone when it is a zombie. */
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", getpid());
    for (;; nanosleep(&nap, NULL)) {
        FILE *file = fopen(path, "re");
        char state = 0;

        CHECK_EQUAL(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        fclose(file);
        if (state == 'Z')
            break;
    }
    _exit(7);
}

static void land(void)
{
    exit_after(NULL);
}

/* A thread of which no count but the kernel's knows. */
static void make_raw_thread(void)
{
    static const struct way way = {"thread", SYS_clone,
                                   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, 1};
    struct arguments a;

    prepare_landing(land);
    prepare(&a, &way, LANDING_STACK, 0);
    CHECK(RAW_CLONE(&way, a) > 0);
}

static void *exit_group(void *unused)
{
    (void)unused;
    *shared_tid() = gettid();
    syscall(SYS_exit_group, 9);
    return NULL;
}

static void by_number(int number)
{
    pthread_t thread;

    switch (number) {
    case 0: syscall(SYS_exit, 4); break;
    case 1: syscall(SYS_exit_group, 259); break;
    case 2:
        pthread_create(&thread, NULL, exit_thread, (void *)5);
        pthread_join(thread, NULL);
        syscall(SYS_exit, 6);
        break;
    case 3:
        pthread_create(&thread, NULL, exit_after, NULL);
        syscall(SYS_exit, 8);
        break;
    case 4:
        pthread_create(&thread, NULL, exit_group, NULL);
        pthread_join(thread, NULL);
        break;
    case 5:
        make_raw_thread();
        syscall(SYS_exit, 8);
        break;
    }
    _exit(126);
}

static const struct {
    int status, leader, thread; /* wait status; told of the leader and of the other thread, -1: there is none */
    const char *call;
} ends[] = {
    {4 << 8, 4 << 8, -1, "SYS_exit"},
    {3 << 8, 3 << 8, -1, "SYS_exit_group"},
    {6 << 8, 6 << 8, 5 << 8, "SYS_exit"},
    {7 << 8, 8 << 8, 7 << 8, "SYS_exit"},
    {9 << 8, 9 << 8, 9 << 8, "SYS_exit_group"},
    {7 << 8, 8 << 8, 7 << 8, "SYS_exit"},
};

int main(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        pid_t child;

        *shared_tid() = 0;
        child = fork();
        if (child == 0)
            by_number((int)i);
        CHECK_EQUAL(status_of(child), ends[i].status);
        EXPECT_TASK(child, i == 4 ? "init clone exit+behalf free+behalf" : "init clone exit free");
        CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, ends[i].leader);
        CHECK_TEXT(last_of(child, WATCH_TASK_EXIT)->call, ends[i].call);
        if (ends[i].thread < 0)
            continue;
        EXPECT_TASK(*shared_tid(), "init clone exit free");
        CHECK_EQUAL(last_of(*shared_tid(), WATCH_TASK_EXIT)->exit_status, ends[i].thread);
    }
    return 0;
}
