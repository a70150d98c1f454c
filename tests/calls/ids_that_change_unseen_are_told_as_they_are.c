/* SPDX-License-Identifier: MIT */
/*
 * The ids before a change are those that the task has then, whatever became of them since the last one that was told:
 * by an instruction of the program's own, in another thread, in a child that nobody saw being made, by a user
 * namespace whose map somebody else writes. A library that remembered them would tell others.
 *
 * main: exec exit free
 * needs: root
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "ids.h"

#define OTHER 12345u

static long instruction(long number, long a, long b, long c)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
#else
    return syscall(number, a, b, c);
#endif
}

/* A seteuid is told with what /proc showed before it and shows after it. */
static void check_next(uid_t id)
{
    struct task_watch_ids before = ids_of_thread("self", WATCH_TASK_UID);
    uint32_t mark = events_so_far();
    const struct record *told;

    CHECK_EQUAL(seteuid(id), 0);
    told = event_number(mark);
    CHECK_TEXT(told->call, "seteuid");
    check_ids(told->old_ids, before);
    check_ids(told->ids, ids_of_thread("self", WATCH_TASK_UID));
}

static void by_own_instruction(void)
{
    check_next(0);
    CHECK_EQUAL(instruction(SYS_setresuid, OTHER, 0, OTHER), 0);
    check_next(0);
    instruction(SYS_setfsuid, OTHER, 0, 0);
    CHECK_EQUAL(ids_of_thread("self", WATCH_TASK_UID).filesystem, OTHER);
    check_next(0); /* takes it back */
    CHECK_EQUAL(ids_of_thread("self", WATCH_TASK_UID).filesystem, 0);
}

/* The effective id is not named: some kernels leave the filesystem's alone, some do not. */
static void by_setfsuid_before(void)
{
    struct task_watch_ids before;
    uint32_t mark;

    setfsuid(OTHER);
    before = ids_of_thread("self", WATCH_TASK_UID);
    CHECK_EQUAL(before.filesystem, OTHER);
    mark = events_so_far();
    CHECK_EQUAL(setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1), 0);
    check_ids(event_number(mark)->old_ids, before);
    check_ids(event_number(mark)->ids, ids_of_thread("self", WATCH_TASK_UID));
}

static void *change_all(void *unused)
{
    CHECK_EQUAL(setresuid(OTHER, 0, OTHER), 0);
    return unused;
}

static void in_another_thread(void)
{
    pthread_t thread;

    check_next(0);
    CHECK_EQUAL(pthread_create(&thread, NULL, change_all, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    check_next(0);
}

static void in_a_child_that_nobody_saw(void)
{
    pid_t child;

    check_next(0);
    child = (pid_t)instruction(SYS_clone, SIGCHLD, 0, 0);
    if (child == 0) {
        CHECK_EQUAL(instruction(SYS_setresuid, OTHER, 0, OTHER), 0);
        check_next(0);
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);
    check_next(0);
}

static void write_map(pid_t pid, const char *text)
{
    char path[64];
    int fd;

    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_EQUAL(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* In it we are 65534 until our parent writes that we are 7. */
static void in_a_namespace(void)
{
    int ready[2], mapped[2];
    char byte = 0;
    pid_t child;

    CHECK_EQUAL(pipe(ready), 0);
    CHECK_EQUAL(pipe(mapped), 0);
    check_next(0);
    child = fork();
    if (child == 0) {
        check_next(0);
        CHECK_EQUAL(unshare(CLONE_NEWUSER), 0);
        CHECK_EQUAL(write(ready[1], &byte, 1), 1);
        CHECK_EQUAL(read(mapped[0], &byte, 1), 1);
        CHECK_EQUAL(geteuid(), 7);
        check_next(7);
        _exit(0);
    }
    CHECK_EQUAL(read(ready[0], &byte, 1), 1);
    write_map(child, "7 0 1\n");
    CHECK_EQUAL(write(mapped[1], &byte, 1), 1);
    CHECK_EQUAL(status_of(child), 0);
}

int main(void)
{
    static void (*const ways[])(void) = {by_own_instruction, by_setfsuid_before, in_another_thread,
                                         in_a_child_that_nobody_saw, in_a_namespace};

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        pid_t child = fork();

        if (child == 0) {
            ways[i]();
            _exit(0);
        }
        CHECK_EQUAL(status_of(child), 0);
    }
    return 0;
}
