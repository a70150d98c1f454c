/* SPDX-License-Identifier: MIT */
/*
 * What a wrapped call costs beside the genuine one, in one process under preload:
 *   call_cost [ROUNDS]
 * Run by scripts/bench with the watchers that a row is about.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"

extern char **environ;
static const char *target = "/bin/true";

static void fork_and_wait(void *fork_function)
{
    pid_t (*do_fork)(void) = (pid_t(*)(void))fork_function;
    pid_t pid = do_fork();
    if (pid == 0)
        _exit(0);
    int status;
    waitpid(pid, &status, 0);
}

static pid_t spawned;
static void spawn_only(void *spawn_function)
{
    int (*do_spawn)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
                    char *const[]) = spawn_function;
    char *argv[] = {(char *)target, NULL};
    if (spawned > 0)
        waitpid(spawned, NULL, 0);
    do_spawn(&spawned, target, NULL, NULL, argv, environ);
}

static void *nothing(void *argument)
{
    return argument;
}

static void thread_nothing(void *function)
{
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))function;
    pthread_t thread;
    if (create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        abort();
}

static void system_nothing(void *function)
{
    int (*do_system)(const char *) = (int (*)(const char *))function;
    if (do_system(":") != 0)
        abort();
}

static void popen_nothing(void *function)
{
    FILE *(*do_popen)(const char *, const char *) = (FILE * (*)(const char *, const char *)) function;
    FILE *stream = do_popen(":", "r");
    if (!stream || pclose(stream) != 0)
        abort();
}

static void seteuid_same(void *function)
{
    int (*set)(uid_t) = (int (*)(uid_t))function;
    for (int i = 0; i < 100; i++)
        if (set(geteuid()) != 0)
            abort();
}

static void getppid_raw(void *function)
{
    long (*call)(long, ...) = (long (*)(long, ...))function;
    for (int i = 0; i < 5000; i++)
        call(SYS_getppid);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1500;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *genuine_fork = dlsym(libc, "fork"), *genuine_spawn = dlsym(libc, "posix_spawn");
    void *genuine_seteuid = dlsym(libc, "seteuid");
    struct variant forks[] = {{"fork: genuine", fork_and_wait, genuine_fork},
                              {"fork: genuine again", fork_and_wait, genuine_fork},
                              {"fork: wrapped", fork_and_wait, (void *)fork}};
    interleave("fork + _exit + waitpid", forks, 3, rounds);
    struct variant spawns[] = {{"posix_spawn: genuine", spawn_only, genuine_spawn},
                               {"posix_spawn: genuine again", spawn_only, genuine_spawn},
                               {"posix_spawn: wrapped", spawn_only, (void *)posix_spawn}};
    interleave("posix_spawn, previous child reaped first", spawns, 3, rounds / 2);
    void *genuine_create = dlsym(libc, "pthread_create");
    struct variant threads[] = {{"pthread_create + pthread_join: genuine", thread_nothing, genuine_create},
                                {"pthread_create + pthread_join: genuine again", thread_nothing, genuine_create},
                                {"pthread_create + pthread_join: wrapped", thread_nothing, (void *)pthread_create}};
    interleave("pthread_create + pthread_join, aims: at most 1.02 with nobody wanting CLONE, 1.06 with", threads, 3, rounds);
    void *genuine_system = dlsym(libc, "system"), *genuine_popen = dlsym(libc, "popen");
    struct variant systems[] = {{"system: genuine", system_nothing, genuine_system},
                                {"system: genuine again", system_nothing, genuine_system},
                                {"system: wrapped", system_nothing, (void *)system}};
    interleave("system(\":\"), aim: at most 0.95", systems, 3, rounds / 2);
    struct variant popens[] = {{"popen: genuine", popen_nothing, genuine_popen},
                               {"popen: genuine again", popen_nothing, genuine_popen},
                               {"popen: wrapped", popen_nothing, (void *)popen}};
    interleave("popen(\":\") + pclose", popens, 3, rounds / 4);
    struct variant ids[] = {{"seteuid x 100: genuine", seteuid_same, genuine_seteuid},
                            {"seteuid x 100: genuine again", seteuid_same, genuine_seteuid},
                            {"seteuid x 100: wrapped", seteuid_same, (void *)seteuid}};
    interleave("seteuid to the same id", ids, 3, rounds / 4);
    void *genuine_syscall = dlsym(libc, "syscall");
    struct variant raw[] = {{"syscall(SYS_getppid) x 5000: genuine", getppid_raw, genuine_syscall},
                            {"syscall(SYS_getppid) x 5000: genuine again", getppid_raw, genuine_syscall},
                            {"syscall(SYS_getppid) x 5000: wrapped", getppid_raw, (void *)syscall}};
    interleave("syscall, of a number that is not watched", raw, 3, rounds / 5);
    return 0;
}
