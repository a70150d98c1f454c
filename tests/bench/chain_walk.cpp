// SPDX-License-Identifier: MIT
// What a walk of the chain costs: nanoseconds with so many watchers, in one thread and in two that are
// pinned to processors of their own, beside a bare loop over the same callbacks. If walkers shared a
// cache line, two threads would be several times slower than one; the ratio should be near 1.
#include <cstdio>
#include <memory>
#include <vector>

#include "chain.hpp"
#include "pinned.hpp"

using namespace taskwatch;

namespace {

int callback(notifier_block *, unsigned long, void *) { return NOTIFY_OK; }

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
