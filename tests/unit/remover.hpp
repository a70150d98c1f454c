// SPDX-License-Identifier: MIT
// An unregistration in a thread of its own, and whether it waits.
#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>

#include "chain.hpp"

// Until it holds. What it asks for is an event of another thread.
template <typename Condition>
void await(Condition condition) {
    while (!condition()) sched_yield();
}

inline bool sleeps(pid_t tid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    if (FILE *file = fopen(path, "re")) {
        if (!fgets(text, sizeof text, file)) text[0] = '\0';
        fclose(file);
    }
    std::string stat = text;
    size_t end = stat.rfind(") ");
    return end != std::string::npos && stat[end + 2] == 'S';
}

class Remover {
  public:
    // Returns when unregister has returned, or when it is so long in waiting that it sleeps.
    Remover(taskwatch::Chain &chain, notifier_block &nb)
        : thread_([this, &chain, &nb] {
              tid_ = pid_t(syscall(SYS_gettid));
              taskwatch::PinStack own{};
              error_ = chain.remove(&nb, own);
              returned_ = true;
          }) {
        await([this] { return returned_ || (tid_ != 0 && sleeps(tid_)); });
    }
    bool returned() const { return returned_; }
    // What unregister returned.
    int join() {
        thread_.join();
        return error_;
    }

  private:
    std::atomic<pid_t> tid_ = 0;
    std::atomic<bool> returned_ = false;
    int error_ = -1;
    std::thread thread_;
};
