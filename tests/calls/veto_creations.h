/* SPDX-License-Identifier: MIT */
/*
 * The creation calls of the veto matrix. Each returns 0 or an errno, and the pid; the child ends with 3.
 */
#ifndef TESTS_VETO_CREATIONS_H
#define TESTS_VETO_CREATIONS_H

#include <linux/sched.h>
#include <sched.h>
#include <spawn.h>

#include "check.h"

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
    int spawns;
} creations[] = {
    {"fork", by_fork, 0},          {"_Fork", by__Fork, 0},
    {"vfork", by_vfork, 0},        {"clone", by_clone, 0},
    {"clone_vm_vfork", by_clone_vm_vfork, 0}, {"clone_vm", by_clone_vm, 0},
    {"SYS_fork", by_SYS_fork, 0},  {"SYS_vfork", by_SYS_vfork, 0},
    {"SYS_clone", by_SYS_clone, 0}, {"SYS_clone3", by_SYS_clone3, 0},
    {"posix_spawn", by_spawn, 1},  {"posix_spawnp", by_spawnp, 1},
};

#endif
