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

#include "columns.hpp"
#include "ledger.hpp"
#include "session.hpp"

// What one process has of a session.
struct Member {
    taskwatch::Session session;
    taskwatch::Ledger ledger{session.memory};
    taskwatch::Columns columns{session.memory, ledger};
    taskwatch::Ledger *operator->() { return &ledger; }
};

class WithSession : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(member.session.found(getpid()), 0);
        char text[64];
        member.session.write_name(text);
        name = text;
        // Mapped already: it goes when the last process does, however the test ends.
        segment = atoi(text);
        ASSERT_EQ(shmctl(segment, IPC_RMID, nullptr), 0);
    }

    // As another process of the session finds it.
    std::unique_ptr<Member> another() {
        auto other = std::make_unique<Member>();
        EXPECT_EQ(other->session.attach(name.c_str()), 0);
        return other;
    }

    // A task that lives, under a pid that need not exist.
    taskwatch::Task make(pid_t pid, const taskwatch::Task *parent = nullptr, uint64_t start_ns = 0) {
        taskwatch::Task task;
        member->enter(task, parent);
        task.start_ns = start_ns;
        task.pid = task.tgid = pid;
        task.ppid = 1;
        member->settle(task);
        return task;
    }

    // What somebody does who tells the end of a task, from the right to do so on; false: it was not his to tell.
    static bool claim(taskwatch::Ledger &ledger, const taskwatch::Task &task) {
        taskwatch::Claim claim;
        return ledger.claim_end(task, me(), 0, claim);
    }
    bool leave(const taskwatch::Task &task) {
        taskwatch::Claim claim;
        if (!member->claim_end(task, me(), 0, claim)) return false;
        member->exit_told(claim);
        member->leave(claim);
        return true;
    }
    // This process, which has no slot of its own.
    static const taskwatch::Task &me() {
        static taskwatch::Task task;
        task.pid = task.tgid = getpid();
        return task;
    }

    void *cell_of(const taskwatch::Task &task, const char *watcher) { return member.columns.cell_of(task.id, watcher); }

    Member member;
    std::string name;
    int segment = -1;
};
