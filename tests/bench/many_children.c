/* SPDX-License-Identifier: MIT */
/*
 * What the next fork and the next end cost when thousands of children live already, and what the session's memory
 * takes for them, in one process under preload:
 *   many_children [CHILDREN]
 * Each child waits for the end of a pipe. A part of them is made by the genuine fork: what the kernel itself takes more
 * with many tasks is not ours. Ratios are medians of the last thousand over those of the first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"

enum { sample = 1000 };

/* KiB of the System V segments that this process made, as far as they were touched. */
static long session_kib(void)
{
    char line[512];
    long bytes = 0;
    FILE *list = fopen("/proc/sysvipc/shm", "r");

    if (!list)
        return -1;
    while (fgets(line, sizeof line, list)) {
        long maker, rss;
        if (sscanf(line, "%*d %*d %*o %*d %ld %*d %*d %*d %*d %*d %*d %*d %*d %*d %ld", &maker, &rss) == 2 && maker == getpid())
            bytes += rss;
    }
    fclose(list);
    return bytes / 1024;
}

static int gate[2];

static pid_t make(pid_t (*do_fork)(void))
{
    pid_t pid = do_fork();

    if (pid == 0) {
        char byte;
        close(gate[1]);
        _exit(read(gate[0], &byte, 1) == 0 ? 0 : 1);
    }
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    return pid;
}

struct series {
    double *forks, *ends;
    int count;
};

static double ratio_of(const char *name, const struct series *s)
{
    const double *last = s->forks + s->count - sample, *last_ends = s->ends + s->count - sample;
    double ratio = quantile(last, sample, 0.5) / quantile(s->forks, sample, 0.5);

    printf("  %-8s fork %7.2f us, at the end %7.2f us, ratio %5.3f   kill and wait %7.2f us, %7.2f us\n", name,
           quantile(s->forks, sample, 0.5), quantile(last, sample, 0.5), ratio, quantile(last_ends, sample, 0.5),
           quantile(s->ends, sample, 0.5));
    return ratio;
}

/* Every sixth is a genuine fork, so that what else goes on meets both. */
static void measure(pid_t (*genuine)(void), int children)
{
    enum { genuine_too = 6 };
    size_t size = sizeof(double) * (size_t)children;
    struct series ours = {malloc(size), malloc(size), 0}, theirs = {malloc(size), malloc(size), 0};
    pid_t *pids = malloc(sizeof(pid_t) * (size_t)children);
    long before = session_kib(), after;
    double kernels;

    if (pipe(gate) != 0)
        exit(1);
    for (int i = 0; i < children; i++) {
        struct series *s = i % genuine_too ? &ours : &theirs;
        double start = now_us();
        pids[i] = make(i % genuine_too ? fork : genuine);
        s->forks[s->count++] = now_us() - start;
    }
    after = session_kib();
    printf("%d children alive at once, %d of them watched; the first %d and the last\n", children, ours.count, sample);
    /* One after the other, the newest first, each is killed and waited for: the parent tells its end. */
    int left[2] = {theirs.count, ours.count};
    for (int i = children; i-- > 0;) {
        struct series *s = i % genuine_too ? &ours : &theirs;
        double start = now_us();
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        s->ends[--left[i % genuine_too != 0]] = now_us() - start;
    }
    kernels = ratio_of("genuine", &theirs);
    printf("  the wrapped fork's ratio over the genuine one's: %5.3f\n", ratio_of("wrapped", &ours) / kernels);
    if (after > before)
        printf("  session memory %ld KiB idle, %ld KiB with all: %.1f KiB a thousand\n", before, after,
               (double)(after - before) * 1000 / ours.count);
}

int main(int argc, char **argv)
{
    int children = argc > 1 ? atoi(argv[1]) : 30000;
    void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

    if (children < 12 * sample) {
        fprintf(stderr, "many_children: at least %d children, so that the first thousand and the last of each kind are two\n", 12 * sample);
        return 125;
    }
    measure((pid_t(*)(void))dlsym(libc, "fork"), children);
    return 0;
}
