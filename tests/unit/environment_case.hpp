// SPDX-License-Identifier: MIT
// Environments to repair, and a parent that repairs them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "environment.hpp"

namespace environment_case {

using namespace taskwatch;

using List = std::vector<std::string>;

inline const char library[] = "/lib/tw.so";

// An environment, and its pointers.
class Env {
  public:
    Env(std::initializer_list<std::string> entries) : Env(List(entries)) {}
    explicit Env(List entries) : entries_(std::move(entries)) {
        for (std::string &entry : entries_) pointers_.push_back(entry.data());
        pointers_.push_back(nullptr);
    }
    Env(const Env &) = delete;
    char *const *get() const { return pointers_.data(); }
    const List &entries() const { return entries_; }

  private:
    List entries_;
    std::vector<char *> pointers_;
};

inline List list(char *const *envp) {
    List entries;
    for (; envp && *envp; ++envp) entries.push_back(*envp);
    return entries;
}

// One that was preloaded with one watcher, in session "1:2".
struct Parent {
    Parent() {
        Env env{"A=1", "LD_PRELOAD=/lib/tw.so", "TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=0:0",
                "TASKWATCH_DISABLE=0"};
        EXPECT_EQ(inheritance.capture(env.get(), library), 0);
        EXPECT_EQ(inheritance.set_session("1:2"), 0);
    }
    List pass(const Env &env, Repair repair = Repair::follow, const char *first = "") {
        const std::vector<char *> before(env.get(), env.get() + env.entries().size() + 1);
        errno = 4321;
        PassedEnvironment passed(env.get(), inheritance, repair, first);
        EXPECT_EQ(errno, 4321);
        EXPECT_TRUE(std::equal(before.begin(), before.end(), env.get())) << "the original was changed";
        EXPECT_EQ(passed.changed(), list(passed.get()) != env.entries())
            << "copied without need, or not said";
        return list(passed.get());
    }
    Inheritance inheritance;
};

}  // namespace environment_case
