/* SPDX-License-Identifier: MIT */
/*
 * What else goes on in the program while a creation is stopped: who waits, who has SIGCHLD, who dies. All
 * children and threads of a situation are made by raw system calls or pthread_create, untold.
 */
#ifndef TESTS_VETO_SITUATIONS_H
#define TESTS_VETO_SITUATIONS_H

#include <dlfcn.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>

#include "../../watchers/raw.h"
#include "check.h"

struct situation {
    const char *name;
    void (*set_up)(void);
    void (*take_down)(void);
    /* Calls round() so many times, from wherever creations come here. */
    void (*run)(void (*round)(void), int times);
    enum { REAP_SELF, REAP_ANY, REAP_KERNEL } reaping; /* who gets the children that live */
    int other_dies; /* a child of the program's own dies during each round */
    int silent;     /* no SIGCHLD for anybody */
    int in_handler; /* a signal's */
};

static struct situation const *situation;
static volatile int announced; /* SIGCHLDs that the program has seen */
static int expected;           /* and should have */

static void on_child(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    __atomic_add_fetch(&announced, 1, __ATOMIC_SEQ_CST);
}

static void handle_child(int flags)
{
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART | flags};

    CHECK_EQUAL(sigaction(SIGCHLD, &action, NULL), 0);
}

static void block_child(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    CHECK_EQUAL(pthread_sigmask(how, &set, NULL), 0);
}

static void with_handler(void) { handle_child(0); }
static void without_zombies(void) { handle_child(SA_NOCLDWAIT); }
static void ignoring(void) { CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR); }
static void nothing(void) {}

static void run_here(void (*round)(void), int times)
{
    while (times-- > 0)
        round();
}

/* --- in a thread */

static void (*thread_round)(void);
static int thread_times;

static void *run_thread(void *unused)
{
    (void)unused;
    run_here(thread_round, thread_times);
    return NULL;
}

static void run_in_thread(void (*round)(void), int times)
{
    pthread_t thread;

    thread_round = round;
    thread_times = times;
    CHECK_EQUAL(pthread_create(&thread, NULL, run_thread, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
}

/* --- in a signal handler that interrupts malloc or dlopen anywhere */

static volatile int rounds_left;

static void strike_soon(void)
{
    struct itimerval timer = {.it_value = {.tv_usec = 40}};

    CHECK_EQUAL(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void on_alarm(int number)
{
    (void)number;
    thread_round();
    if (--rounds_left > 0)
        strike_soon();
}

static void run_in_handler(void (*round)(void), int times, void (*interrupted)(void))
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

    thread_round = round;
    rounds_left = times;
    CHECK_EQUAL(sigaction(SIGALRM, &action, NULL), 0);
    strike_soon();
    while (rounds_left > 0)
        interrupted();
}

static void allocate(void)
{
    static void *blocks[64];
    static unsigned turn;
    unsigned i = turn++ % 64;

    free(blocks[i]);
    blocks[i] = malloc(turn * 7919u % 5000 + 1);
}

static void load(void)
{
    void *library = dlopen("libm.so.6", RTLD_NOW);

    CHECK(library != NULL);
    dlclose(library);
}

static void run_in_malloc(void (*round)(void), int times) { run_in_handler(round, times, allocate); }
static void run_in_dlopen(void (*round)(void), int times) { run_in_handler(round, times, load); }

/* --- another thread waits for anybody; a child that stays keeps it from getting ECHILD */

static pthread_t other_thread;
static int anchor_pipe[2];
static pid_t anchor;
static volatile pid_t reaped_pid;
static volatile int reaped_status;

static pid_t raw_fork(void)
{
    return (pid_t)raw_call(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

static void *wait_for_anybody(void *unused)
{
    (void)unused;
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);

        if (pid == anchor)
            return NULL;
        if (pid < 0)
            CHECK_EQUAL(errno, EINTR);
        reaped_status = status;
        if (pid > 0)
            __atomic_store_n(&reaped_pid, pid, __ATOMIC_SEQ_CST);
    }
}

static void with_a_waiter(void)
{
    handle_child(0);
    CHECK_EQUAL(pipe(anchor_pipe), 0);
    anchor = raw_fork();
    if (anchor == 0) {
        close(anchor_pipe[1]);
        await_byte(anchor_pipe[0]);
        raw_call(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    }
    CHECK_EQUAL(pthread_create(&other_thread, NULL, wait_for_anybody, NULL), 0);
}

static void without_the_waiter(void)
{
    close(anchor_pipe[1]);
    CHECK_EQUAL(pthread_join(other_thread, NULL), 0);
    close(anchor_pipe[0]);
    expected++; /* the one that stayed */
}

/* --- another thread has SIGCHLD open, this one has it blocked */

static int stop_pipe[2];

static void *have_it_open(void *unused)
{
    (void)unused;
    block_child(SIG_UNBLOCK);
    await_byte(stop_pipe[0]);
    return NULL;
}

static void with_it_open_elsewhere(void)
{
    handle_child(0);
    block_child(SIG_BLOCK);
    CHECK_EQUAL(pipe(stop_pipe), 0);
    CHECK_EQUAL(pthread_create(&other_thread, NULL, have_it_open, NULL), 0);
}

static void without_it_elsewhere(void)
{
    close(stop_pipe[1]);
    CHECK_EQUAL(pthread_join(other_thread, NULL), 0);
    close(stop_pipe[0]);
    block_child(SIG_UNBLOCK);
}

/* --- SIGCHLD by signalfd */

static int child_fd = -1;

static void with_signalfd(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    block_child(SIG_BLOCK);
    child_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(child_fd >= 0);
}

static void read_signalfd(void)
{
    struct signalfd_siginfo info;

    while (child_fd >= 0 && read(child_fd, &info, sizeof info) == sizeof info)
        announced++;
}

static void without_signalfd(void)
{
    read_signalfd();
    close(child_fd);
    child_fd = -1;
    block_child(SIG_UNBLOCK);
}

static const struct situation situations[] = {
    {"plain", with_handler, nothing, run_here, REAP_SELF, 0, 0, 0},
    {"thread", with_handler, nothing, run_in_thread, REAP_SELF, 0, 0, 0},
    {"malloc", with_handler, nothing, run_in_malloc, REAP_SELF, 0, 0, 1},
    {"dlopen", with_handler, nothing, run_in_dlopen, REAP_SELF, 0, 0, 1},
    {"waiter", with_a_waiter, without_the_waiter, run_here, REAP_ANY, 0, 0, 0},
    {"open", with_it_open_elsewhere, without_it_elsewhere, run_here, REAP_SELF, 0, 0, 0},
    {"signalfd", with_signalfd, without_signalfd, run_here, REAP_SELF, 0, 0, 0},
    {"ignored", ignoring, nothing, run_here, REAP_KERNEL, 0, 1, 0},
    {"nocldwait", without_zombies, nothing, run_here, REAP_KERNEL, 0, 0, 0},
    {"dying", with_handler, nothing, run_here, REAP_SELF, 1, 0, 0},
    {"dying_nocldwait", without_zombies, nothing, run_here, REAP_KERNEL, 1, 0, 0},
};

#endif
