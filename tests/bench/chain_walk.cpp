// SPDX-License-Identifier: MIT
// What a walk of the chain costs: nanoseconds with so many watchers, in one thread and in two that are
// pinned to processors of their own, beside a bare loop over the same callbacks. If walkers shared a
// cache line, two threads would be several times slower than one; the ratio should be near 1.
//
// Each figure is the best of many rounds: what disturbs it only ever adds.
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "chain.hpp"

using namespace taskwatch;

namespace {

constexpr int rounds = 300;
constexpr int walks = 5000;

int callback(notifier_block *, unsigned long, void *) { return NOTIFY_OK; }

double now_ns() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return double(t.tv_sec) * 1e9 + double(t.tv_nsec);
}

std::vector<int> processors() {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    std::vector<int> found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    return found;
}

void pin_to(int cpu) {
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

void measure(const std::vector<int> &cpus, unsigned watchers) {
    auto chain = std::make_unique<Chain>();
    std::vector<notifier_block> blocks(watchers, {callback, nullptr, 0});
    for (notifier_block &nb : blocks)
        if (chain->add(&nb, WATCH_MASK_INIT, "bench") != 0) return;

    auto bare = [&] {
        task_watch record{};
        for (int i = 0; i < walks; ++i) {
            for (notifier_block &nb : blocks) {
                notifier_fn_t call = nb.notifier_call;
                asm volatile("" : "+r"(call));  // as unknown to the compiler as in the chain
                call(&nb, WATCH_TASK_INIT, &record);
            }
            asm volatile("" ::: "memory");
        }
    };
    auto walk = [&] {
        thread_local PinStack own;
        task_watch record{};
        for (int i = 0; i < walks; ++i)
            chain->walk({.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT}, record, own);
    };
    auto unwanted = [&] {
        uint32_t wanted = 0;
        for (int i = 0; i < walks; ++i) {
            wanted |= chain->wanted() & WATCH_MASK_EXEC;
            asm volatile("" : "+r"(wanted)::"memory");
        }
    };
    double loop = best(cpus, 1, bare), one = best(cpus, 1, walk), test = best(cpus, 1, unwanted);
    printf("%8u %10.1f %10.1f %10.1f", watchers, test, loop, one);
    if (cpus.size() > 1) {
        // The loop's ratio is what two threads cost each other on this machine in any case.
        double two_loops = best(cpus, 2, bare), two = best(cpus, 2, walk);
        printf(" %10.1f %6.2f %10.2f", two, two / one, two_loops / loop);
    }
    printf("\n");
    fflush(stdout);
}

}  // namespace

int main() {
    const std::vector<int> cpus = processors();
    printf("ns a walk, best of %d rounds of %d\n", rounds, walks);
    printf("%8s %10s %10s %10s", "watchers", "wanted()", "bare loop", "walk");
    if (cpus.size() > 1)
        printf(" %10s %6s %10s", "2 threads", "ratio", "loop's");
    else
        printf("   (one processor: no second thread)");
    printf("\n");
    for (unsigned watchers : {0u, 1u, 2u, 4u, 8u}) measure(cpus, watchers);
}
