// SPDX-License-Identifier: MIT
// The time of something short, in one thread and in several that are pinned to processors of their own. Each figure is
// the best of many rounds: what disturbs it only ever adds.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

inline constexpr int rounds = 300;
inline constexpr int walks = 5000;  // in each run of what is measured

inline double now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

inline std::vector<int> processors() {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    return found;
}

inline void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

// Best time of one run of `body` in ns a walk, in `threads` that begin each round together. The slowest of
// them counts, and only rounds in which all of them ran all the time: a thread that is kept waiting for its
// processor leaves the others without a rival. 0 if there was no such round.
template <typename Body>
double best(const std::vector<int> &cpus, unsigned threads, Body body) {
    struct Span {
        double begin, end;
    };
    std::atomic<int> arrived = 0;
    std::vector<std::vector<Span>> spans(rounds, std::vector<Span>(threads));
    std::vector<std::thread> running;
    for (unsigned t = 0; t < threads; ++t)
        running.emplace_back([&, t] {
            pin_to(cpus[t]);
            for (int round = 0; round < rounds; ++round) {
                ++arrived;
                while (arrived < int(threads) * (round + 1)) {}
                spans[round][t].begin = now_ns();
                body();
                spans[round][t].end = now_ns();
            }
        });
    for (std::thread &t : running) t.join();

    double fastest = 0;
    for (const std::vector<Span> &round : spans) {
        double all_began = round[0].begin, one_began = round[0].begin;
        double all_ended = round[0].end, one_ended = round[0].end;
        for (const Span &span : round) {
            all_began = std::max(all_began, span.begin), one_began = std::min(one_began, span.begin);
            all_ended = std::max(all_ended, span.end), one_ended = std::min(one_ended, span.end);
        }
        const double whole = all_ended - one_began, together = one_ended - all_began;
        if (together < 0.9 * whole) continue;
        if (fastest == 0 || whole / walks < fastest) fastest = whole / walks;
    }
    return fastest;
}
