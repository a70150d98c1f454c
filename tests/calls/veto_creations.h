/* SPDX-License-Identifier: MIT */
/*
 * The creation calls of the veto matrix. Each returns 0 or an errno, and the pid; the child ends with 3.
 *
 * What is left out, and why:
 * - shells and threads in a signal handler: libc promises none of these functions there, and popen and a thread's
 *   creation allocate in the middle of malloc.
 * - "made" of daemon: its caller is gone then (daemon_leaves_its_parent.c). "made" of wordexp, and CLONE: the command is
 *   made by libc itself, CLONE is not told (wordexp_is_told_of_if_it_runs_a_command.c).
 */
#ifndef TESTS_VETO_CREATIONS_H
#define TESTS_VETO_CREATIONS_H

#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>

#include "check.h"
#include "veto_shells.h"
#include "veto_threads.h"

static char stack[65536] __attribute__((aligned(16)));
static char target[4096]; /* what the spawning ones run */

static int end(void *unused)
{
    (void)unused;
    return 3;
}

static int result(pid_t made, pid_t *pid)
{
    *pid = made;
    return made < 0 ? errno : 0;
}

static int by_fork(pid_t *pid)
{
    pid_t made = fork();

    if (made == 0)
        _exit(3);
    return result(made, pid);
}

static int by__Fork(pid_t *pid)
{
    pid_t made = _Fork();

    if (made == 0)
        _exit(3);
    return result(made, pid);
}

static int by_vfork(pid_t *pid)
{
    pid_t made = vfork();

    if (made == 0)
        _exit(3);
    return result(made, pid);
}

static int cloned(int flags, pid_t *pid)
{
    return result(clone(end, stack + sizeof stack, flags | SIGCHLD, NULL), pid);
}

static int by_clone(pid_t *pid) { return cloned(0, pid); }
static int by_clone_vm_vfork(pid_t *pid) { return cloned(CLONE_VM | CLONE_VFORK, pid); }
static int by_clone_vm(pid_t *pid) { return cloned(CLONE_VM, pid); }

/* The child of a vfork may not leave the function that called it. */
#define BY_SYSTEM_CALL(name, ...)                          \
    static int by_##name(pid_t *pid)                       \
    {                                                      \
        pid_t made = (pid_t)syscall(name, __VA_ARGS__);    \
                                                           \
        if (made == 0)                                     \
            _exit(3);                                      \
        return result(made, pid);                          \
    }
static struct clone_args plain_clone3 = {.exit_signal = SIGCHLD};

BY_SYSTEM_CALL(SYS_fork, 0L)
BY_SYSTEM_CALL(SYS_vfork, 0L)
BY_SYSTEM_CALL(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L)
BY_SYSTEM_CALL(SYS_clone3, &plain_clone3, sizeof plain_clone3)

static char *const target_argv[] = {"target", "exit", "3", NULL};
static int by_spawn(pid_t *pid) { return posix_spawn(pid, target, NULL, NULL, target_argv, environ); }
static int by_spawnp(pid_t *pid) { return posix_spawnp(pid, target, NULL, NULL, target_argv, environ); }

static const struct creation {
    const char *name;
    int (*make)(pid_t *pid);
    int spawns;        /* a program, which is told as executed; a failed call leaves the pid alone */
    const char *group; /* those that are tried in one process */
    enum { IS_CHILD, IS_SHELL, IS_THREAD } what;
    enum { STOPS_AT_INIT = 1, STOPS_AT_CLONE = 2, STOPS = 3 } only; /* outcomes, besides "refused" */
} creations[] = {
    {.name = "fork", .make = by_fork},
    {.name = "_Fork", .make = by__Fork},
    {.name = "vfork", .make = by_vfork},
    {.name = "clone", .make = by_clone},
    {.name = "clone_vm_vfork", .make = by_clone_vm_vfork},
    {.name = "clone_vm", .make = by_clone_vm},
    {.name = "SYS_fork", .make = by_SYS_fork},
    {.name = "SYS_vfork", .make = by_SYS_vfork},
    {.name = "SYS_clone", .make = by_SYS_clone},
    {.name = "SYS_clone3", .make = by_SYS_clone3},
    {.name = "posix_spawn", .make = by_spawn, .spawns = 1},
    {.name = "posix_spawnp", .make = by_spawnp, .spawns = 1},
    {.name = "system", .make = by_system, .spawns = 1, .group = "shells", .what = IS_SHELL},
    {.name = "system(NULL)", .make = by_null_system, .spawns = 1, .group = "shells", .what = IS_SHELL},
    {.name = "popen", .make = by_popen, .spawns = 1, .group = "shells", .what = IS_SHELL},
    {.name = "popen to write", .make = by_popen_to_write, .spawns = 1, .group = "shells", .what = IS_SHELL},
    {.name = "forkpty", .make = by_forkpty, .group = "shells"},
    {.name = "daemon", .make = by_daemon, .group = "shells", .only = STOPS},
    {.name = "wordexp", .make = by_wordexp, .spawns = 1, .group = "shells", .what = IS_SHELL, .only = STOPS_AT_INIT},
    {.name = "pthread_create", .make = by_pthread, .group = "threads", .what = IS_THREAD},
    {.name = "thrd_create", .make = by_thrd, .group = "threads", .what = IS_THREAD},
};

#endif
