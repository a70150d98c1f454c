/* SPDX-License-Identifier: MIT */
/* The naive preload: nothing in it, linked as the compiler does by default. */
extern int taskwatch_bench_nothing;
int taskwatch_bench_nothing;
