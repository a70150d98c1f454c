/* SPDX-License-Identifier: MIT */
/*
 * While CLONE's callback runs, the child of fork, _Fork and clone sleeps and has run no code of the
 * program, atfork handlers included: registered by main, by an earlier library's constructor, or by the
 * executable's preinit functions.
 *
 * main: exec exit free
 */
#include <pthread.h>
#include <sched.h>

#include "check.h"

extern void (*early_atfork)(void);
static int *child_ran;

static void child_handler(void)
{
    *child_ran = 1;
}

static void preinit(void)
{
    pthread_atfork(NULL, NULL, child_handler);
}
__attribute__((section(".preinit_array"), used)) static void (*const preinit_entry)(void) = preinit;

static int child(void *unused)
{
    (void)unused;
    *child_ran = 1;
    _exit(0);
}

static char state_of(pid_t pid)
{
    char path[64], text[256] = "", *end;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        return '?';
    close(fd);
    end = strrchr(text, ')');
    return end ? end[2] : '?';
}

/* Has the creator in CLONE's callback, and looks at the child until it sleeps or has ended. */
static void *observe(void *unused)
{
    char state;

    (void)unused;
    await_pause();
    do {
        sched_yield();
        state = state_of(event_number(events_so_far() - 1)->pid);
    } while (state == 'R' || state == 'D');
    CHECK_EQUAL(state, 'S');
    CHECK_EQUAL(*child_ran, 0);
    let_go();
    return NULL;
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

    child_ran = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK_EQUAL(pthread_atfork(NULL, NULL, child_handler), 0);
    early_atfork = child_handler;
    for (size_t i = 0; i < sizeof creations / sizeof *creations; i++) {
        pthread_t observer;
        pid_t pid;

        *child_ran = 0;
        pause_next(WATCH_MASK_CLONE, creations[i].call);
        CHECK_EQUAL(pthread_create(&observer, NULL, observe, NULL), 0);
        pid = creations[i].function();
        if (pid == 0)
            child(NULL);
        CHECK(pid > 0);
        CHECK_EQUAL(pthread_join(observer, NULL), 0);
        CHECK_EQUAL(status_of(pid), 0);
        CHECK_EQUAL(*child_ran, 1);
        EXPECT_TASK(pid, "init clone exit free");
    }
    return 0;
}
