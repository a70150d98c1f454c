// SPDX-License-Identifier: MIT
// Finding a free slot and a pid among many.
#include <set>

#include "ledger_case.hpp"
#include "slot_table.hpp"

using taskwatch::SlotTable;
using taskwatch::Task;

namespace {

using SlotTableTest = WithSession;

TEST_F(SlotTableTest, TheLowestFreeOneIsGivenFirst) {
    std::vector<Task> tasks;
    for (pid_t pid = 1; pid <= 3000; pid++) tasks.push_back(make(pid));
    for (uint32_t i = 0; i < 3000; i++) ASSERT_EQ(tasks[i].slot, i + 1);
    for (size_t i : {2500u, 77u, 1200u}) ASSERT_TRUE(leave(tasks[i]));
    for (size_t i : {77u, 1200u, 2500u}) EXPECT_EQ(make(5000).slot, i + 1);
    EXPECT_EQ(make(5000).slot, 3001u);
    member.session.close();
}

TEST_F(SlotTableTest, EveryPidIsFoundAndNoOther) {
    // As the kernel gives them, with many gone in between and their places taken by later ones.
    std::vector<Task> tasks;
    Task found;
    for (pid_t pid = 300; pid < 300 + 20000; pid++) {
        Task task = make(pid);
        if (pid % 3)
            ASSERT_TRUE(leave(task));
        else
            tasks.push_back(task);
    }
    auto other = another();
    for (const Task &task : tasks) {
        ASSERT_TRUE(other->ledger.find(task.pid, found)) << task.pid;
        ASSERT_EQ(found.id, task.id);
        ASSERT_FALSE(other->ledger.find(task.pid + 1, found)) << task.pid;
    }
    member.session.close();
}

TEST_F(SlotTableTest, APidMapThatIsFullLosesNobody) {
    // The same place for all of them.
    std::vector<Task> tasks;
    for (pid_t pid = 7; tasks.size() < 100; pid += 512) tasks.push_back(make(pid));
    Task found;
    for (const Task &task : tasks) {
        ASSERT_TRUE(member->find(task.pid, found));
        EXPECT_EQ(found.id, task.id);
    }
}

TEST_F(SlotTableTest, ASlotWhoseTakerWasKilledIsFoundAgain) {
    SlotTable table(member.session.memory);
    std::set<int> lost;
    for (int i = 0; i < 50; i++) lost.insert(table.reserve());  // and never used
    EXPECT_EQ(lost.size(), 50u);
    std::vector<Task> tasks;
    for (pid_t pid = 1; pid <= 124; pid++) tasks.push_back(make(pid));
    for (const Task &task : tasks) EXPECT_LE(task.slot, 124u) << "no further segment was needed";
}

TEST_F(SlotTableTest, WhatIsReservedIsNobodyElses) {
    SlotTable table(member.session.memory);
    std::set<int> all;
    for (int i = 0; i < 124; i++) EXPECT_TRUE(all.insert(table.reserve()).second);
    EXPECT_EQ(*all.begin(), 0);
    EXPECT_EQ(*all.rbegin(), 123);
    table.release(50);
    EXPECT_EQ(table.reserve(), 50);
}

}  // namespace
