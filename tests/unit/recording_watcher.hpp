// SPDX-License-Identifier: MIT
// A chain with watchers that write down that they were called. No preload, no processes.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chain.hpp"

// Calls are noted in `log` by name, "a b c", with a flag STOPPED as "c(stopped)".
struct RecordingWatcher {
    notifier_block nb;  // first: the callback finds the watcher by it
    std::string name;
    std::string *log;
    int returns = NOTIFY_DONE;
    std::function<void(unsigned long action, task_watch &task)> inside;

    RecordingWatcher(std::string name, std::string &log, int priority = 0, int returns = NOTIFY_DONE)
        : nb{called, nullptr, priority}, name(std::move(name)), log(&log), returns(returns) {}
    RecordingWatcher(const RecordingWatcher &) = delete;

    static int called(notifier_block *nb, unsigned long action, void *task) {
        auto *self = reinterpret_cast<RecordingWatcher *>(nb);
        if (!self->log->empty()) *self->log += ' ';
        *self->log += self->name;
        if (action & WATCH_STOPPED) *self->log += "(stopped)";
        // A copy: it may replace itself.
        if (auto inside = self->inside) inside(action, *static_cast<task_watch *>(task));
        return self->returns;
    }
};

// So many walks one inside the other, each with a pin stack of its own, as if each were in a thread of
// its own. `watcher` is called by each of them; in the last one it calls `innermost`.
inline void walk_within_walks(taskwatch::Chain &chain, RecordingWatcher &watcher, size_t count,
                              const std::function<void()> &innermost) {
    constexpr taskwatch::Walk walk = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};
    std::vector<taskwatch::PinStack> stacks(count);
    size_t begun = 0;
    watcher.inside = [&](unsigned long, task_watch &task) {
        if (begun < count) {
            chain.walk(walk, task, stacks[begun++]);
        } else {
            watcher.inside = nullptr;
            innermost();
        }
    };
    task_watch task{};
    chain.walk(walk, task, stacks[begun++]);
}

class WithChain : public testing::Test {
  protected:
    int add(RecordingWatcher &watcher, uint32_t mask = WATCH_MASK_ALL) {
        return chain->add(&watcher.nb, mask, watcher.name.c_str());
    }
    int remove(RecordingWatcher &watcher) { return chain->remove(&watcher.nb, own); }

    // A walk in this thread; returns who was called.
    std::string walk(taskwatch::Walk walk = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT}) {
        std::string before;
        std::swap(before, log);
        task = {};
        result = chain->walk(walk, task, own);
        std::swap(before, log);
        return before;
    }

    std::unique_ptr<taskwatch::Chain> chain = std::make_unique<taskwatch::Chain>();
    taskwatch::PinStack own{};
    std::string log;
    task_watch task{};
    taskwatch::WalkResult result;
};
