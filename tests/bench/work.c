/* SPDX-License-Identifier: MIT */
/*
 * One kind of work, done again and again:
 *   work KIND TIMES SECONDS
 * prints the median microseconds of one, of up to TIMES within SECONDS (of 20 at least). It times itself, so that the
 * start of whatever it runs under is not in the figure. Kinds: fork, vfork-exec, posix_spawn, system, thread, seteuid,
 * and `events`, which makes TIMES children for peers to write down and prints the microseconds of one over all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"

extern char **environ;

static char *const arguments[] = {"/bin/true", NULL};

static int wait_for(pid_t pid)
{
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int do_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

static int do_vfork_exec(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(arguments[0], arguments, environ);
        _exit(127);
    }
    return wait_for(pid);
}

static int do_posix_spawn(void)
{
    pid_t pid;
    return posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environ) == 0 && wait_for(pid);
}

static int do_system(void)
{
    return system(":") == 0;
}

static void *nothing(void *argument)
{
    return argument;
}

static int do_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* A single one is too short for the clock. */
enum { ids_at_once = 100 };

static int do_seteuid(void)
{
    uid_t same = geteuid();
    for (int i = 0; i < ids_at_once; i++)
        if (seteuid(same) != 0)
            return 0;
    return 1;
}

static const struct kind {
    const char *name;
    int (*once)(void);
    int at_once;
} kinds[] = {
    {"fork", do_fork, 1},     {"vfork-exec", do_vfork_exec, 1}, {"posix_spawn", do_posix_spawn, 1},
    {"system", do_system, 1}, {"thread", do_thread, 1},         {"seteuid", do_seteuid, ids_at_once},
    {"events", do_fork, 1},
};

static const struct kind *find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

int main(int argc, char **argv)
{
    const struct kind *kind = argc == 4 ? find(argv[1]) : NULL;
    int times = argc == 4 ? atoi(argv[2]) : 0;
    if (!kind || times < 1) {
        fprintf(stderr, "work: wants KIND TIMES SECONDS; kinds are fork, vfork-exec, posix_spawn, system, thread, "
                        "seteuid and events\n");
        return 125;
    }
    double *samples = malloc(sizeof(double) * (size_t)times), begun = now_us(), limit = atof(argv[3]) * 1e6;
    int done = 0, all = strcmp(kind->name, "events") == 0;
    while (done < times && (all || done < 20 || now_us() - begun < limit)) {
        double start = now_us();
        if (!kind->once()) {
            fprintf(stderr, "work: %s failed: %s\n", kind->name, strerror(errno));
            return 1;
        }
        samples[done++] = (now_us() - start) / kind->at_once;
    }
    printf("%.4f\n", all ? (now_us() - begun) / done : quantile(samples, done, 0.5));
    free(samples);
    return 0;
}
