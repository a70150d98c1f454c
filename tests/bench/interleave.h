/* SPDX-License-Identifier: MIT */
/*
 * Interleaved timing for machines that are noisy: every round measures each variant once, in an order of its own, so
 * that a slow moment hits all alike and none always follows the same other one, whose caches it finds. Reported are
 * medians, and the median of the ratios within a round; a variant measured against itself shows how much of that
 * is noise.
 */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *values, int n, double q)
{
    double *sorted = malloc(sizeof(double) * (size_t)n);
    memcpy(sorted, values, sizeof(double) * (size_t)n);
    qsort(sorted, (size_t)n, sizeof(double), compare_doubles);
    double result = sorted[(int)(q * (n - 1))];
    free(sorted);
    return result;
}

/* 0 to count - 1 in random order, the same in each run. */
static void shuffle(int *order, int count)
{
    static unsigned random = 1;
    for (int i = 0; i < count; i++) {
        random = random * 1664525 + 1013904223;
        int j = (int)((random >> 16) % (unsigned)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
}

/* One thing to time. Variant 0 is what the others are compared with. */
struct variant {
    const char *name;
    void (*once)(void *context);
    void *context;
};

static inline void interleave(const char *title, const struct variant *variants, int count, int rounds)
{
    double *times = malloc(sizeof(double) * (size_t)(count * rounds));
    double *ratios = malloc(sizeof(double) * (size_t)rounds);
    int order[16];
    for (int round = -rounds / 20 - 1; round < rounds; round++) {
        shuffle(order, count);
        for (int i = 0; i < count; i++) {
            int v = order[i];
            double start = now_us();
            variants[v].once(variants[v].context);
            if (round >= 0)
                times[v * rounds + round] = now_us() - start;
        }
    }
    printf("%s\n", title);
    for (int v = 0; v < count; v++) {
        for (int r = 0; r < rounds; r++)
            ratios[r] = times[v * rounds + r] / times[r];
        double base = quantile(times, rounds, 0.5), median = quantile(times + v * rounds, rounds, 0.5);
        printf("  %-40s %9.2f us   median ratio %6.3f   paired %6.3f   p25 %6.3f\n", variants[v].name, median,
               median / base, quantile(ratios, rounds, 0.5),
               quantile(times + v * rounds, rounds, 0.25) / quantile(times, rounds, 0.25));
    }
    free(times);
    free(ratios);
}

#endif
