/* SPDX-License-Identifier: MIT */
/*
 * The scratch process of a check: makes each event happen in one place, under the library with the checked watcher
 * between check-first.so and check-last.so. A creation that the watcher refuses is left out; nothing here fails.
 */
#include "drive.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <taskwatch/taskwatch.h>
#include <unistd.h>

#include "record.h"

/* In check-first.so; not there when the library was not loaded. */
#pragma weak check_the_record
#pragma weak check_set_place

static const char *own_file;     /* executed as "check-leaf", which ends at once */
static const char *foreign_file; /* an image that cannot load the library */
extern char **environ;

static void await(pid_t child)
{
    int status = 0;

    if (child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status))
        check_the_record()->signal = (uint32_t)WTERMSIG(status);
}

static char *leaf_argv[] = {(char *)"check-leaf", NULL};

static void fork_one(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(3);
    await(child);
}

static void execute_one(void)
{
    pid_t child = fork();

    if (child == 0) {
        execve(own_file, leaf_argv, environ);
        _exit(4);
    }
    await(child);
}

static void spawn_one(void)
{
    pid_t child;

    if (posix_spawn(&child, own_file, NULL, NULL, leaf_argv, environ) == 0)
        await(child);
}

/* Told of before, refused, and told of again; the last two fail for root too. */
static void fail_calls(void)
{
    execve("/nonexistent/program", leaf_argv, environ);
    execve(foreign_file, leaf_argv, environ);
    (void)!setuid((uid_t)-1);
    (void)!setgid((gid_t)-1);
}

static void change_ids(void)
{
    (void)!setegid(getegid());
    (void)!seteuid(geteuid());
}

static void vfork_one(void)
{
    pid_t child = vfork();

    if (child == 0) {
        execve(own_file, leaf_argv, environ);
        _exit(4);
    }
    await(child);
}

/* Not with other threads: libc would tell the parent's threads of the child's new ids. */
static void vfork_two(void)
{
    pid_t child = vfork();

    if (child == 0)
        _exit(3);
    await(child);
    child = vfork();
    if (child == 0) {
        fail_calls();
        change_ids();
        execve(own_file, leaf_argv, environ);
        _exit(4);
    }
    await(child);
}

static void all_calls(void)
{
    fork_one();
    execute_one();
    spawn_one();
    fail_calls();
    change_ids();
}

static void *in_thread(void *unused)
{
    check_set_place(CHECK_THREAD, NULL);
    all_calls();
    return unused;
}

static void use_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, in_thread, NULL) == 0)
        pthread_join(thread, NULL);
}

static void in_handler(int number)
{
    (void)number;
    check_set_place(CHECK_HANDLER, NULL);
    fork_one();
    vfork_two();
    fail_calls();
    change_ids();
    check_set_place(CHECK_MAIN, NULL);
}

static void raise_signal(void)
{
    struct sigaction action = {.sa_handler = in_handler};

    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

/* As little as a thread can have, and below it nothing: who needs more dies here. */
static char *lowest;

static void *on_small_stack(void *unused)
{
    check_set_place(CHECK_SMALL_STACK, lowest + 256);
    fork_one();
    vfork_one();
    fail_calls();
    change_ids();
    return unused; /* EXIT and FREE are measured too */
}

static void use_small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    const size_t page = 4096, small_stack = 16384; /* PTHREAD_STACK_MIN; newer processors' is larger */
    char *memory;

    memory = mmap(NULL, small_stack + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED)
        return;
    mprotect(memory, page, PROT_NONE);
    lowest = memory + page;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, lowest, small_stack);
    if (pthread_create(&thread, &attributes, on_small_stack, NULL) == 0)
        pthread_join(thread, NULL);
}

static void (*const runs[CHECK_PLACES])(void) = {
    [CHECK_MAIN] = all_calls,        [CHECK_THREAD] = use_thread,           [CHECK_VFORK] = vfork_two,
    [CHECK_HANDLER] = raise_signal,  [CHECK_SMALL_STACK] = use_small_stack,
};

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

/* It is loaded: the library has read the same descriptor. */
static void describe(const char *file)
{
    struct check_record *record = check_the_record();
    void *handle = dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
    const struct taskwatch_watcher *watcher = handle ? dlsym(handle, "taskwatch_watcher") : NULL;

    if (!watcher)
        return;
    record->described = 1;
    record->version = watcher->abi_version;
    record->size = watcher->size;
    record->events = watcher->events;
    record->priority = watcher->priority;
    strncpy(record->name, watcher->name, sizeof record->name - 1);
    if (watcher->description)
        strncpy(record->description, watcher->description, sizeof record->description - 1);
}

int drive(unsigned int place, const char *watcher, const char *foreign)
{
    static char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    int before, after;

    if (!check_the_record || length < 0)
        return 1;
    path[length] = '\0';
    own_file = path;
    foreign_file = foreign;
    describe(watcher);
    before = next_descriptor();
    runs[place]();
    after = next_descriptor();
    check_the_record()->kept = after != before;
    check_the_record()->finished = 1;
    return 0;
}
