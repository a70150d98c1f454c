/* SPDX-License-Identifier: MIT */
/*
 * stress JOURNAL SEED LIVES [STYLES]: makes tasks in every way and ends them in every way, while a killer (killer.c) ends
 * others. What each process does follows from SEED and its place in the tree; only the interleaving does not.
 *
 * The first process is left alone by the killer. It keeps four trees growing until LIVES tasks were made, waits until
 * nothing of its terminal session is left, sweeps, and ends with 0. What was told of all this is judged by stress.py.
 *
 * STYLES, letters: a left-out one is not used. s: processes whose SIGCHLD is ignored; t: threads; x: exec of this
 * program; v: children on their creator's memory; h: helpers of libc (system, popen); k: ends by a signal of its own.
 */
#include <errno.h>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"

int taskwatch_sweep(void) __attribute__((weak));

enum { DEEPEST = 3, TREES = 4 };

static struct journal *journal;
static char *program, *journal_path, *lives_text, *styles;
static uint32_t lives;
static char stacks[DEEPEST + 2][1 << 15] __attribute__((aligned(16)));

/* A process's own: forked children get a seed of their own, threads too. */
static __thread uint64_t state;
static __thread int depth;
/* libc's locks may be held by another thread: a child that libc does not know of would wait for them. */
static int threaded;
/* Forked while another thread may have been in exit(), whose lock libc's fork does not care for: signal-safe ends only. */
static int careful;
static int sleepers; /* there are threads that end with the process only */

static uint32_t pick(uint32_t most)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % most;
}

static uint64_t seed_of_child(void)
{
    uint64_t seed = ((uint64_t)pick(1u << 31) << 32) | pick(1u << 31);

    return seed * 0x9e3779b97f4a7c15u | 1;
}

static int enough(void) { return __atomic_load_n(&journal->born, __ATOMIC_RELAXED) >= lives; }
static void count(uint32_t made) { __atomic_fetch_add(&journal->born, made, __ATOMIC_RELAXED); }
static int allowed(char style) { return strchr(styles, style) != NULL; }

static void node(void);

/* --- ends */

static _Noreturn void crash(int number)
{
    signal(number, SIG_DFL);
    raise(number);
    _exit(99);
}

static _Noreturn void die_of_a_signal(int which)
{
    static const int numbers[] = {SIGSEGV, SIGKILL, SIGTERM};

    if (!allowed('k'))
        exit(which);
    if (which % 4 == 3)
        abort();
    crash(numbers[which % 4]);
}

static void *wait_a_little(void *argument)
{
    (void)argument;
    usleep(pick(300));
    return NULL;
}

static _Noreturn void finish(void)
{
    int code = (int)pick(200);
    pthread_t thread;

    if (careful && pick(3))
        _exit(code);
    if (careful && allowed('k'))
        crash(pick(2) ? SIGSEGV : SIGKILL);
    if (careful)
        syscall(SYS_exit_group, code);
    switch (pick(16)) {
    case 0: case 1: case 2: _exit(code);
    case 3: _Exit(code);
    case 4: quick_exit(code);
    case 5: case 6: case 7: case 8: die_of_a_signal(code);
    case 9: syscall(SYS_exit_group, code); _exit(99);
    case 10:
        /* The leader goes first. */
        if (allowed('t') && !sleepers && pthread_create(&thread, NULL, wait_a_little, NULL) == 0) {
            count(1);
            pthread_exit(NULL);
        }
        exit(code);
    default: exit(code);
    }
}

/* --- children that run this program again, or end at once */

static char seed_text[32], depth_text[16];

static char **arguments_of(const char *what)
{
    static char *arguments[10];

    snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed_of_child());
    snprintf(depth_text, sizeof depth_text, "%d", depth + 1);
    char *all[] = {program, journal_path, seed_text, lives_text, styles, (char *)what, depth_text, NULL};
    memcpy(arguments, all, sizeof all);
    return arguments;
}

static _Noreturn void replace(const char *what)
{
    char **arguments = arguments_of(what);

    switch (pick(3)) {
    case 0: execv(program, arguments); break;
    case 1: execvp(program, arguments); break;
    default: execve(program, arguments, environ); break;
    }
    _exit(98);
}

/* What a wait function has returned is written beside the callbacks: FREE must be there already. */
static void note(pid_t pid, int status)
{
    if (pid <= 0)
        return;
    uint32_t index = __atomic_fetch_add(&journal->count, 1, __ATOMIC_SEQ_CST);
    if (index >= journal->capacity)
        return;
    struct entry *entry = &journal->entries[index];
    entry->event = ENTRY_WAITED;
    entry->pid = pid;
    entry->status = status;
    entry->process = getpid();
    __atomic_store_n(&entry->state, ENTRY_COMPLETE, __ATOMIC_RELEASE);
}

static void reap(pid_t child)
{
    int status = 0;
    siginfo_t info = {0};
    pid_t result = 0;

    switch (pick(7)) {
    case 0: result = waitpid(child, &status, 0); break;
    case 1: result = wait4(child, &status, 0, NULL); break;
    case 2:
        waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
        if (waitid(P_PID, (id_t)child, &info, WEXITED) == 0)
            result = info.si_pid;
        status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
        break;
    case 3:
        while ((result = waitpid(child, &status, WNOHANG)) == 0)
            usleep(200);
        break;
    case 4: result = wait(&status); break; /* any of them */
    case 5: result = wait3(&status, 0, NULL); break;
    case 6: break; /* later, or by whoever gets it */
    }
    note(result, status);
}

static void reap_all(void)
{
    int status = 0;
    pid_t pid;

    while ((pid = wait(&status)) > 0 || errno == EINTR)
        note(pid, status);
}

/* --- ways to make one */

static void become(uint64_t seed)
{
    state = seed;
    depth++;
    careful = threaded;
}

static void by_fork(int how)
{
    uint64_t seed = seed_of_child();
    int exec = allowed('x') && pick(6) == 0;
    pid_t child = how == 0 || threaded ? fork() : how == 1 ? _Fork() : (pid_t)syscall(SYS_fork);

    if (child < 0)
        return;
    if (child == 0) {
        become(seed);
        if (exec)
            replace("node");
        node();
    }
    count(1);
    reap(child);
}

/* An orphan: the one between ends at once. */
static void by_double_fork(void)
{
    uint64_t seed = seed_of_child();
    pid_t child = fork();

    if (child < 0)
        return;
    if (child == 0) {
        become(seed);
        if (fork() == 0)
            node();
        count(1);
        _exit(0);
    }
    count(1);
    reap(child);
}

static void by_vfork(void)
{
    char **arguments = arguments_of("leaf");
    int exec = pick(2), code = (int)pick(100);
    pid_t child = vfork();

    if (child == 0) {
        if (exec)
            execv(program, arguments);
        _exit(code);
    }
    if (child < 0)
        return;
    count(1);
    reap(child);
}

static int clone_leaf(void *argument)
{
    long code = (long)argument;

    if (code >= 100)
        _exit((int)code - 100);
    return (int)code;
}

static int clone_node(void *argument)
{
    become(*(uint64_t *)argument);
    node();
    return 0;
}

static void by_clone(int how)
{
    uint64_t seed = seed_of_child();
    char *top = stacks[depth] + sizeof stacks[depth];
    long code = pick(200);
    pid_t child = -1;

    switch (how) {
    case 0: child = clone(clone_node, top, SIGCHLD, &seed); break;
    case 1: child = clone(clone_leaf, top, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)code); break;
    case 2: child = clone(clone_leaf, top, CLONE_VM | SIGCHLD, (void *)code); break;
    case 3: child = clone(clone_leaf, top, CLONE_VFORK | SIGCHLD, (void *)code); break;
    }
    if (child < 0)
        return;
    count(1);
    /* It runs on our stack array, so it is waited for. */
    if (how == 2)
        while (waitpid(child, NULL, __WALL) < 0 && errno == EINTR) {
        }
    else
        reap(child);
}

static void by_spawn(void)
{
    pid_t child;
    char *missing[] = {"missing", NULL};
    int error;

    if (pick(4) == 0)
        error = posix_spawnp(&child, "no-such-program-at-all", NULL, NULL, missing, environ);
    else if (pick(2))
        error = posix_spawn(&child, program, NULL, NULL, arguments_of("leaf"), environ);
    else
        error = posix_spawnp(&child, "true", NULL, NULL, missing, environ);
    count(1);
    if (error == 0)
        reap(child);
}

static void by_helper(void)
{
    FILE *stream;

    if (pick(2)) {
        if (system(pick(2) || !allowed('k') ? "exit 3" : "kill -9 $$") < -1)
            return;
    } else {
        stream = popen("exit 4", "r");
        if (stream)
            pclose(stream);
    }
    count(1);
}

static void *thread_body(void *argument)
{
    state = (uint64_t)(uintptr_t)argument;
    depth = DEEPEST;
    if (pick(4) == 0)
        by_fork(0);
    if (pick(6) == 0)
        usleep(pick(500));
    if (pick(3) == 0)
        pthread_exit(NULL);
    return NULL;
}

static int thrd_body(void *argument)
{
    thread_body(argument);
    return 0;
}

static void by_threads(void)
{
    pthread_t threads[4];
    uint32_t made = pick(4) + 1, joinable = 0;
    thrd_t other;

    threaded = 1;

    for (uint32_t n = 0; n < made; n++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, thread_body, (void *)(uintptr_t)seed_of_child()) != 0)
            continue;
        count(1);
        if (pick(4) == 0)
            pthread_detach(thread);
        else
            threads[joinable++] = thread;
    }
    for (uint32_t n = 0; n < joinable; n++)
        pthread_join(threads[n], NULL);
    if (pick(3) == 0 && thrd_create(&other, thrd_body, (void *)(uintptr_t)seed_of_child()) == thrd_success) {
        count(1);
        thrd_join(other, NULL);
    }
}

/* Threads that are cut off: by the end of the process, or by an exec. */
static void *sleeper(void *argument)
{
    (void)argument;
    for (;;)
        pause();
    return NULL;
}

static void *replacer(void *argument)
{
    state = (uint64_t)(uintptr_t)argument;
    depth = DEEPEST;
    if (pick(2))
        replace("leaf");
    finish();
}

static void by_cut_off_threads(void)
{
    uint64_t seed = seed_of_child();
    pthread_t thread;
    pid_t child = fork();

    if (child < 0)
        return;
    if (child > 0) {
        count(1);
        reap(child);
        return;
    }
    become(seed);
    threaded = sleepers = 1;
    for (uint32_t n = pick(3) + 1; n; n--)
        if (pthread_create(&thread, NULL, sleeper, NULL) == 0)
            count(1);
    if (pick(2) == 0) {
        if (pthread_create(&thread, NULL, replacer, (void *)(uintptr_t)seed_of_child()) == 0) {
            count(1);
            pause();
        }
    } else if (pick(2)) {
        replace("leaf");
    }
    finish();
}

/* Its children are nobody's to wait for. */
static void by_ignoring(void)
{
    uint64_t seed = seed_of_child();
    pid_t child = fork();

    if (child < 0)
        return;
    if (child > 0) {
        count(1);
        reap(child);
        return;
    }
    become(seed);
    signal(SIGCHLD, SIG_IGN);
    for (uint32_t n = pick(3) + 1; n; n--) {
        if (fork() == 0) {
            usleep(pick(400));
            finish();
        }
        count(1);
    }
    if (pick(2))
        reap_all();
    _exit(7);
}

static void act(void)
{
    switch (pick(20)) {
    case 0: case 1: case 2: case 3: by_fork(0); break;
    case 4: by_fork(1); break;
    case 5: by_fork(2); break;
    case 6: by_double_fork(); break;
    case 7: case 8: if (allowed('v')) by_vfork(); break;
    case 9: threaded ? by_fork(0) : by_clone(0); break;
    case 10: if (allowed('v')) by_clone(1 + (int)pick(3)); break;
    case 11: if (allowed('x')) by_spawn(); break;
    case 12: if (allowed('h')) by_helper(); break;
    case 13: case 14: case 15: case 16: if (allowed('t')) by_threads(); break;
    case 17: if (allowed('t')) by_cut_off_threads(); break;
    case 18: if (allowed('s')) by_ignoring(); break;
    default: by_fork(0); break;
    }
}

static void node(void)
{
    if (depth < DEEPEST)
        for (uint32_t n = pick(4); n && !enough(); n--)
            act();
    if (pick(3))
        reap_all();
    finish();
}

/* --- the first process */

static int anybody_left(void)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    pid_t own = getpid(), left = 0;

    while (folder && (entry = readdir(folder)) != NULL) {
        pid_t pid = atoi(entry->d_name);

        if (pid > 0 && pid != own && getsid(pid) == own)
            left = pid;
    }
    if (folder)
        closedir(folder);
    return left != 0;
}

static _Noreturn void first(uint64_t seed)
{
    pid_t trees[TREES] = {0};
    struct timespec pause = {0, 2000000};

    /* The supervisor, if there is one, is not of those that are killed here or waited for. */
    setsid();
    __atomic_store_n(&journal->root, getpid(), __ATOMIC_RELEASE);
    for (uint64_t n = 0; !enough();) {
        for (int i = 0; i < TREES; i++) {
            if (trees[i] > 0)
                continue;
            n++;
            trees[i] = fork();
            if (trees[i] == 0) {
                become((seed * 1000003 + n) * 0x9e3779b97f4a7c15u | 1);
                depth = 0;
                node();
            }
            count(1);
        }
        pid_t child = wait(NULL);
        for (int i = 0; i < TREES; i++)
            if (trees[i] == child)
                trees[i] = 0;
    }
    reap_all();
    while (anybody_left())
        nanosleep(&pause, NULL);
    __atomic_store_n(&journal->over, 1, __ATOMIC_RELEASE);
    if (taskwatch_sweep)
        taskwatch_sweep();
    exit(0);
}

int main(int argument_count, char **arguments)
{
    struct stat st;
    struct rlimit none = {0, 0};

    if (argument_count < 4) {
        fprintf(stderr, "usage: stress JOURNAL SEED LIVES [STYLES]\n");
        return 2;
    }
    program = arguments[0];
    journal_path = arguments[1];
    lives_text = arguments[3];
    lives = (uint32_t)atoi(lives_text);
    styles = argument_count > 4 ? arguments[4] : "stxvhk";
    int fd = open(journal_path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(journal_path);
        return 2;
    }
    journal = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (journal == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    setrlimit(RLIMIT_CORE, &none);
    /* pthread_exit opens it at its first call, and libc's fork puts its lock on the list of libraries right in no child: one
     * that was forked meanwhile would wait for ever, with us or without. */
    if (allowed('t'))
        dlopen("libgcc_s.so.1", RTLD_NOW);
    state = strtoull(arguments[2], NULL, 10);
    if (argument_count > 6) {
        depth = atoi(arguments[6]);
        state |= 1;
        if (strcmp(arguments[5], "node") == 0)
            node();
        return (int)pick(60);
    }
    first(state);
}
