// SPDX-License-Identifier: MIT
// The chain between threads: what unregister waits for, and what it must not wait for. Runs under
// ThreadSanitizer as well, which then proves that a block's memory belongs to its owner again.
#include <sched.h>

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "recording_watcher.hpp"
#include "remover.hpp"

using taskwatch::Chain;
using taskwatch::PinStack;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};

class ChainThreads : public WithChain {
  protected:
    // A thread that stays in the callback of `watcher` until it is told.
    class Walker {
      public:
        Walker(Chain &chain, RecordingWatcher &watcher) {
            watcher.inside = [this](auto...) {
                inside_ = true;
                await([&] { return go_.load(); });
                done_ = true;
            };
            thread_ = std::thread([&chain] {
                PinStack own{};
                task_watch record{};
                chain.walk(init, record, own);
            });
            await([&] { return inside_.load(); });
        }
        void go() { go_ = true; }
        bool done() const { return done_; }
        void join() { thread_.join(); }

      private:
        std::atomic<bool> inside_ = false, go_ = false, done_ = false;
        std::thread thread_;
    };
};

TEST_F(ChainThreads, UnregisterReturnsWhenTheCallbackHasReturnedElsewhere) {
    RecordingWatcher a("a", log), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    Walker walker(*chain, a);
    Remover remover(*chain, b.nb);  // b is still to be called by that walk
    EXPECT_FALSE(remover.returned());
    EXPECT_EQ(chain->name_of(&b.nb, own), nullptr) << "it is out of the chain meanwhile";
    EXPECT_FALSE(walker.done());
    walker.go();
    EXPECT_EQ(remover.join(), 0);
    EXPECT_TRUE(walker.done());
    walker.join();
    EXPECT_EQ(log, "a b");
}

TEST_F(ChainThreads, UnregisterWaitsForNoWalkThatCannotCallTheBlock) {
    RecordingWatcher a("a", log, 1), late("late", log);
    ASSERT_EQ(add(a), 0);
    Walker walker(*chain, a);
    ASSERT_EQ(add(late), 0);
    EXPECT_EQ(remove(late), 0) << "returns, although a walk is under way";
    EXPECT_FALSE(walker.done());
    walker.go();
    walker.join();
    EXPECT_EQ(log, "a");
}

TEST_F(ChainThreads, UnregisterWaitsForNoWalkThatBeganLater) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    Walker first(*chain, a);
    Remover remover(*chain, b.nb);
    EXPECT_FALSE(remover.returned());
    Walker second(*chain, a);
    first.go();
    EXPECT_EQ(remover.join(), 0);
    EXPECT_FALSE(second.done());
    second.go();
    first.join();
    second.join();
}

TEST_F(ChainThreads, UnregisterWaitsForNoLaterWalkOfTheSameThread) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    std::atomic<unsigned> begun = 0, may_end = 0;
    a.inside = [&](auto...) {
        unsigned mine = ++begun;
        await([&] { return may_end >= mine; });
    };
    std::thread walker([&] {
        PinStack walkers{};
        task_watch record{};
        for (int i = 0; i < 2; ++i) chain->walk(init, record, walkers);
    });
    await([&] { return begun == 1; });
    Remover remover(*chain, b.nb);
    EXPECT_FALSE(remover.returned());
    may_end = 1;
    await([&] { return begun == 2; });
    EXPECT_EQ(remover.join(), 0);
    EXPECT_EQ(log, "a b a");
    may_end = 2;
    walker.join();
}

TEST_F(ChainThreads, UnregisterFromACallbackDoesNotWaitForOtherThreads) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a, WATCH_MASK_INIT), 0);
    ASSERT_EQ(add(b, WATCH_MASK_INIT), 0);
    Walker walker(*chain, a);
    std::string seen;
    RecordingWatcher c("c", seen, 2);
    ASSERT_EQ(add(c, WATCH_MASK_CLONE), 0);
    c.inside = [&](auto...) {
        EXPECT_EQ(remove(b), 0);
        EXPECT_EQ(remove(c), 0);
    };
    task_watch record{};
    chain->walk({.action = WATCH_TASK_CLONE, .need = WATCH_MASK_CLONE}, record, own);
    EXPECT_EQ(seen, "c");
    EXPECT_FALSE(walker.done());
    walker.go();
    walker.join();
}

TEST_F(ChainThreads, UnregisterWaitsForWalksThatFoundNoReaderFree) {
    RecordingWatcher a("a", log, -1);
    static std::atomic<unsigned> inside, done;
    static std::atomic<bool> go;
    inside = done = 0;
    go = false;
    notifier_block waiting = {[](notifier_block *, unsigned long, void *) {
                                  ++inside;
                                  go.wait(false);
                                  ++done;
                                  return int(NOTIFY_DONE);
                              },
                              nullptr, 0};
    ASSERT_EQ(chain->add(&waiting, WATCH_MASK_ALL, "waiting"), 0);
    std::vector<std::thread> threads;
    auto walk_in_threads = [&](size_t count) {
        for (size_t i = 0; i < count; ++i)
            threads.emplace_back([&] {
                PinStack mine{};
                task_watch record{};
                chain->walk(init, record, mine);
            });
        await([&] { return inside == threads.size(); });
    };
    walk_in_threads(taskwatch::Readers::count);
    ASSERT_EQ(add(a), 0);
    walk_in_threads(1);  // the only one that a is in
    Remover remover(*chain, a.nb);
    EXPECT_FALSE(remover.returned());
    EXPECT_EQ(done, 0u);
    go = true;
    go.notify_all();
    EXPECT_EQ(remover.join(), 0);
    for (std::thread &t : threads) t.join();
    EXPECT_EQ(log, "a");
    EXPECT_EQ(chain->remove(&waiting, own), 0);
}

// A block whose memory is spoilt as soon as its unregistration has returned: twice, once for every
// build to see and once, without any synchronisation, for ThreadSanitizer.
struct Poisoned {
    notifier_block nb;  // first
    std::atomic<unsigned> canary;
    unsigned plain;
    static constexpr unsigned alive = 0x600d600d, dead = 0xdeaddead;
};
std::atomic<unsigned> dead_calls, live_calls;
std::atomic<bool> read_plain;

int call_poisoned(notifier_block *nb, unsigned long, void *) {
    auto *block = reinterpret_cast<Poisoned *>(nb);
    bool dead = false;
    for (int i = 0; i < 40; ++i) dead |= block->canary.load(std::memory_order_relaxed) != Poisoned::alive;
    if (read_plain.load(std::memory_order_relaxed)) dead |= block->plain != Poisoned::alive;
    // Now and then the processor is lost in here, and the block with it if nobody waits.
    if (live_calls.fetch_add(1, std::memory_order_relaxed) % 256 == 0) {
        sched_yield();
        dead |= block->canary.load(std::memory_order_relaxed) != Poisoned::alive;
    }
    dead_calls.fetch_add(dead, std::memory_order_relaxed);
    return NOTIFY_OK;
}

// Registers and unregisters `blocks` with the pins `own`, until there were so many of both, cycles and
// calls, or a dead block was called.
void register_and_poison(Chain &chain, std::deque<Poisoned> &blocks, unsigned cycles, unsigned calls,
                         const PinStack &own) {
    unsigned random = unsigned(reinterpret_cast<uintptr_t>(&blocks) >> 4);
    std::vector<bool> in(blocks.size());
    for (unsigned i = 0; (i < cycles || live_calls < calls) && dead_calls == 0; ++i) {
        random = random * 1664525 + 1013904223;
        size_t n = random >> 16 & 7;
        Poisoned &block = blocks[n];
        if (!in[n]) {
            block.nb = {call_poisoned, nullptr, int(random >> 28)};
            block.canary.store(Poisoned::alive, std::memory_order_relaxed);
            block.plain = Poisoned::alive;
            EXPECT_EQ(chain.add(&block.nb, WATCH_MASK_ALL, "poisoned"), 0);
        } else {
            EXPECT_EQ(chain.remove(&block.nb, own), 0);
            block.canary.store(Poisoned::dead, std::memory_order_relaxed);
            if (read_plain) block.plain = Poisoned::dead;
        }
        in[n] = !in[n];
    }
}

// Four threads walk while two register.
void walk_while_others_register(Chain &chain, unsigned cycles, unsigned calls, PinStack registrars_own) {
    dead_calls = live_calls = 0;
    std::deque<Poisoned> blocks[2];
    for (auto &some : blocks) some.resize(8);
    std::atomic<bool> enough = false;
    std::vector<std::thread> walkers, registrars;
    for (int i = 0; i < 4; ++i)
        walkers.emplace_back([&] {
            PinStack own{};
            task_watch record{};
            uint64_t newest = 0;
            unsigned walks = 0;
            while (!enough) {
                uint64_t serial = chain.walk(init, record, own).serial;
                EXPECT_GE(serial, newest);
                newest = serial;
                // Rather between walks than in one, or each removal waits for a time slice.
                if (++walks % 16 == 0) sched_yield();
            }
            EXPECT_EQ(own.depth, 0);
        });
    for (auto &some : blocks)
        registrars.emplace_back([&] { register_and_poison(chain, some, cycles, calls, registrars_own); });
    for (std::thread &t : registrars) t.join();
    enough = true;
    for (std::thread &t : walkers) t.join();
}

TEST_F(ChainThreads, NoBlockIsCalledAfterItsUnregistrationHasReturned) {
    read_plain = true;
    walk_while_others_register(*chain, 10000, 400000, {});
    EXPECT_EQ(dead_calls, 0u);
}

// The twin: registrars that claim to be inside a callback are not made to wait, and are found out.
TEST_F(ChainThreads, TheTestAboveNoticesACallThatCameTooLate) {
    read_plain = false;
    walk_while_others_register(*chain, UINT32_MAX, UINT32_MAX, {.pins = {}, .depth = 1});
    EXPECT_GT(dead_calls, 0u);
}

}  // namespace
