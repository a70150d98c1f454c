// SPDX-License-Identifier: MIT
// A session of the test's own, removed when the test is over, and ways into its memory.
#pragma once

#include <gtest/gtest.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "ledger.hpp"

class WithSession : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(session->found(getpid()), 0);
        char text[64];
        session->write_name(text);
        name = text;
        // Mapped already: it goes when the last process does, however the test ends.
        segment = atoi(text);
        ASSERT_EQ(shmctl(segment, IPC_RMID, nullptr), 0);
    }

    // As another process of the session finds it.
    std::unique_ptr<taskwatch::Ledger> another() {
        auto other = std::make_unique<taskwatch::Ledger>();
        EXPECT_EQ(other->attach(name.c_str()), 0);
        return other;
    }

    // A task that lives, under a pid that need not exist.
    taskwatch::Task make(pid_t pid, const taskwatch::Task *parent = nullptr) {
        taskwatch::Task task;
        session->enter(task, parent);
        task.pid = task.tgid = pid;
        task.ppid = 1;
        session->settle(task);
        return task;
    }

    void *cell_of(const taskwatch::Task &task, const char *watcher) { return session->cell_of(task.id, watcher); }

    std::unique_ptr<taskwatch::Ledger> session = std::make_unique<taskwatch::Ledger>();
    std::string name;
    int segment = -1;
};
