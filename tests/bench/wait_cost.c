/* SPDX-License-Identifier: MIT */
/*
 * What the wait family costs beside the genuine functions, in one process under preload:
 *   wait_cost [ROUNDS]
 * The child is dead before the clock starts. One that has told its own end, and one that was killed, whose end the
 * wait tells; and a look at nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"

typedef pid_t wait_function(pid_t, int *, int);
typedef int waitid_function(idtype_t, id_t, siginfo_t *, int);

static waitid_function *genuine_waitid;

static pid_t corpse(int killed)
{
    siginfo_t info;
    pid_t pid = fork();

    if (pid == 0) {
        if (killed)
            kill(getpid(), SIGKILL);
        _exit(0);
    }
    genuine_waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    return pid;
}

static double time_waitpid(void *function, int killed)
{
    pid_t pid = corpse(killed);
    double start = now_us();
    int status;

    ((wait_function *)function)(pid, &status, 0);
    return now_us() - start;
}

static double time_waitid(void *function, int killed)
{
    pid_t pid = corpse(killed);
    double start = now_us();
    siginfo_t info;

    ((waitid_function *)function)(P_PID, (id_t)pid, &info, WEXITED);
    return now_us() - start;
}

static double time_look(void *function, int unused)
{
    double start = now_us();

    (void)unused;
    for (int i = 0; i < 100; i++)
        ((wait_function *)function)(-1, NULL, WNOHANG);
    return (now_us() - start) / 100;
}

static void row(const char *name, double (*once)(void *, int), int killed, void *genuine, void *wrapped, int rounds)
{
    double *times[3];
    void *functions[] = {genuine, genuine, wrapped};

    for (int v = 0; v < 3; v++)
        times[v] = malloc(sizeof(double) * (size_t)rounds);
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < 3; i++) {
            int v = (i + round) % 3;
            times[v][round] = once(functions[v], killed);
        }
    double base = quantile(times[0], rounds, 0.5);
    printf("  %-44s genuine %6.2f us, again %+6.2f us, wrapped %+6.2f us\n", name, base, quantile(times[1], rounds, 0.5) - base,
           quantile(times[2], rounds, 0.5) - base);
    for (int v = 0; v < 3; v++)
        free(times[v]);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 3000;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    void *genuine_waitpid = dlsym(libc, "waitpid");

    *(void **)&genuine_waitid = dlsym(libc, "waitid");
    row("waitpid, the child told its own end", time_waitpid, 0, genuine_waitpid, (void *)waitpid, rounds);
    row("waitid, the child told its own end", time_waitid, 0, (void *)genuine_waitid, (void *)waitid, rounds);
    row("waitpid, the child was killed: told here", time_waitpid, 1, genuine_waitpid, (void *)waitpid, rounds);
    row("waitpid(-1, WNOHANG) without children", time_look, 0, genuine_waitpid, (void *)waitpid, rounds);
    return 0;
}
