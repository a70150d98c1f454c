// SPDX-License-Identifier: MIT
// Claims that change hands: an owner is killed at each of its steps, somebody else takes over, and each watcher
// is called once, or again and flagged if it had begun.
#include <signal.h>

#include <atomic>
#include <map>
#include <thread>

#include "ledger_case.hpp"

using taskwatch::Claim;
using taskwatch::Ledger;
using taskwatch::Phase;
using taskwatch::SlotWord;
using taskwatch::Task;
using Step = taskwatch::Progress::Step;

namespace {

constexpr unsigned unnumbered = 0;

class ClaimTest : public WithSession {
  protected:
    void SetUp() override {
        WithSession::SetUp();
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
        killed.pid = killed.tgid = pid;
    }

    // A deliverer with this chain that is killed after `steps` steps (a begin and an end each): what it called.
    // The last one may have begun only.
    static std::vector<unsigned> tell(Claim &claim, const std::vector<unsigned> &chain, unsigned steps) {
        std::vector<unsigned> called;
        for (unsigned number : chain) {
            if (steps-- == 0) return called;
            Step step = claim.begin(claim, number);
            if (step == Step::skip) {  // told before
                steps++;
                continue;
            }
            called.push_back(step == Step::again ? number + 100 : number);
            if (steps-- == 0) return called;
            claim.end(claim, number);
        }
        return called;
    }

    Task killed;  // was a process of this session
};

TEST_F(ClaimTest, WhoIsKilledAtAnyStepIsTakenOver) {
    const std::vector<unsigned> chain{3, 1, 7};
    for (unsigned steps = 0; steps <= 2 * chain.size(); steps++) {
        SCOPED_TRACE(steps);
        Task task = make(1000);
        Claim first, second;
        ASSERT_TRUE(member->claim_end(task, killed, 0, first));
        auto called = tell(first, chain, steps);
        EXPECT_EQ(called.size(), (steps + 1) / 2);
        ASSERT_TRUE(member->claim_end(task, me(), 0, second));
        EXPECT_TRUE(second.owes_exit());
        std::vector<unsigned> expected;
        for (unsigned i = 0; i < chain.size(); i++) {
            if (2 * i + 1 < steps) continue;                                // it had returned
            expected.push_back(2 * i + 1 == steps ? chain[i] + 100 : chain[i]);  // it had begun
        }
        EXPECT_EQ(tell(second, chain, 99), expected);
        member->exit_told(second);
        EXPECT_EQ(tell(second, chain, 99), chain) << "FREE is another matter";
        member->leave(second);
        EXPECT_EQ(member->living(), 0u);
    }
}

TEST_F(ClaimTest, ItIsTheWatcherThatCountsNotItsPlace) {
    Task task = make(1000);
    Claim first, second;
    ASSERT_TRUE(member->claim_end(task, killed, 0, first));
    tell(first, {1, 2, 3}, 3);  // 1 was told, 2 had begun
    ASSERT_TRUE(member->claim_end(task, me(), 0, second));
    EXPECT_EQ(tell(second, {9, 3, 2, 1}, 99), (std::vector<unsigned>{9, 3, 102}));
}

TEST_F(ClaimTest, ItIsRememberedOverSeveralOwners) {
    Task task = make(1000);
    Claim first, second, third;
    ASSERT_TRUE(member->claim_end(task, killed, 0, first));
    tell(first, {1, 2, 3, 4}, 3);
    ASSERT_TRUE(member->claim_end(task, killed, 0, second));
    EXPECT_EQ(tell(second, {4, 3, 2, 1}, 3), (std::vector<unsigned>{4, 3}));  // 3 had begun
    ASSERT_TRUE(member->claim_end(task, me(), 0, third));
    EXPECT_EQ(tell(third, {1, 2, 3, 4}, 99), (std::vector<unsigned>{102, 103}));
    member->exit_told(third);
    EXPECT_EQ(tell(third, {1, 2, 3, 4}, 99), (std::vector<unsigned>{1, 2, 3, 4}));
}

TEST_F(ClaimTest, OneWithoutANumberIsNeverCalledTwiceWithoutAFlag) {
    Task task = make(1000);
    Claim first, second, third;
    ASSERT_TRUE(member->claim_end(task, killed, 0, first));
    ASSERT_TRUE(member->claim_end(task, killed, 0, second));
    EXPECT_EQ(tell(second, {unnumbered, unnumbered, 4}, 1), (std::vector<unsigned>{unnumbered})) << "nobody had begun";
    ASSERT_TRUE(member->claim_end(task, me(), 0, third));
    EXPECT_EQ(tell(third, {unnumbered, unnumbered, 4}, 99), (std::vector<unsigned>{unnumbered + 100, unnumbered + 100, 4}));
}

TEST_F(ClaimTest, AWholePhaseThatWasToldIsNotToldAgain) {
    Task task = make(1000);
    Claim first, second;
    ASSERT_TRUE(member->claim_end(task, killed, 0, first));
    tell(first, {1, 2}, 99);
    member->exit_told(first);
    tell(first, {1, 2}, 1);
    ASSERT_TRUE(member->claim_end(task, me(), 0, second));
    EXPECT_FALSE(second.owes_exit());
    ASSERT_TRUE(second.owes_free());
    EXPECT_EQ(tell(second, {1, 2}, 99), (std::vector<unsigned>{101, 2}));
}

TEST_F(ClaimTest, ALivingOwnerIsNotTakenOver) {
    Task task = make(1000), dying = make(getpid());
    Claim first, second;
    ASSERT_TRUE(member->claim_end(task, dying, 0, first));
    EXPECT_FALSE(member->claim_end(task, killed, 0, second));
    EXPECT_FALSE(member->await_end(task, killed)) << "another process is not waited for";
    ASSERT_TRUE(member->claim_end(task, killed, getpid(), second)) << "unless the caller knows better";
    EXPECT_TRUE(second.owes_exit());
    // It was wrong: the first owner goes on, and finds out.
    EXPECT_EQ(tell(first, {1, 2}, 99), std::vector<unsigned>());
    EXPECT_TRUE(first.lost);
    EXPECT_FALSE(first.owes_free());
    member->leave(first);
    EXPECT_EQ(tell(second, {1, 2}, 99), (std::vector<unsigned>{1, 2}));
    member->leave(second);
    EXPECT_EQ(member->living(), 1u);
}

TEST_F(ClaimTest, AnOwnerWhoseTaskHasLeftIsGone) {
    Task task = make(1000), owner = make(getpid());
    Claim first, own, second;
    ASSERT_TRUE(member->claim_end(task, owner, 0, first));
    ASSERT_TRUE(leave(owner));
    Task next = make(getpid());  // in the same slot
    EXPECT_EQ(next.slot, owner.slot);
    EXPECT_TRUE(member->claim_end(task, me(), 0, second));
}

TEST_F(ClaimTest, WhatLeftHalfwayIsCleanedUp) {
    Task task = make(1000);
    Claim first, second;
    ASSERT_TRUE(member->claim_end(task, killed, 0, first));
    first.advance(first.word.with(Phase::done, first.word.owner()));
    ASSERT_EQ(member->for_each_dead([](void *, const Task &) {}, nullptr), 1);
    ASSERT_TRUE(member->claim_end(task, me(), 0, second));
    EXPECT_FALSE(second.owes_exit() || second.owes_free());
    member->leave(second);
    EXPECT_EQ(member->living(), 0u);
}

TEST_F(ClaimTest, AHeldChildTakesOverWhatItsCreatorWasTelling) {
    Task task, found;
    member->enter(task, &killed);
    task.pid = task.tgid = 1000;
    Claim first, second;
    member->settle_held(task, killed, first);
    ASSERT_TRUE(member->find(1000, found));
    tell(first, {1, 2, 3}, 3);
    ASSERT_TRUE(member->take_over_clone(task, task, second));
    EXPECT_EQ(tell(second, {1, 2, 3}, 99), (std::vector<unsigned>{102, 3}));
    member->clone_told(second);
    EXPECT_FALSE(member->take_over_clone(task, task, first)) << "all of it was told";
    EXPECT_FALSE(member->is_ended(task));
    EXPECT_TRUE(leave(task));
    EXPECT_TRUE(member->is_ended(task));
}

TEST_F(ClaimTest, AChildWhoseCreatorWasKilledBeforeCloneTellsAllOfIt) {
    Task task, found;
    member->enter(task, &killed);
    task.pid = task.tgid = 1000;
    Claim claim;
    ASSERT_TRUE(member->take_over_clone(task, task, claim));
    EXPECT_EQ(tell(claim, {1, 2}, 99), (std::vector<unsigned>{1, 2}));
    member->clone_told(claim);
    EXPECT_TRUE(member->find(1000, found));
}

TEST_F(ClaimTest, AThreadOfTheSameProcessIsWaitedFor) {
    // Two threads of one process: one tells, the other waits until it is through.
    Task task = make(1000), teller = make(getpid()), waiter = make(getpid() + 1);
    waiter.tgid = getpid();
    Claim claim, other;
    ASSERT_TRUE(member->claim_end(task, teller, 0, claim));
    EXPECT_FALSE(member->await_end(task, teller)) << "a handler that interrupted it";
    std::atomic<bool> through{false};
    std::thread thread([&] {
        timespec nap = {0, 20000000};
        nanosleep(&nap, nullptr);
        through = true;
        member->leave(claim);
    });
    EXPECT_FALSE(member->await_end(task, waiter));
    EXPECT_TRUE(through);
    thread.join();
}

TEST_F(ClaimTest, AnIdIsNeverGivenTwice) {
    // A slot whose generations are used up is not used again.
    SlotWord last(SlotWord::max_generation, Phase::freeing, 5);
    EXPECT_EQ(last.next().phase(), Phase::retired);
    EXPECT_FALSE(last.next().is_used());
    EXPECT_EQ(SlotWord(7, Phase::done, 5).next().generation(), 8u);
    EXPECT_NE(SlotWord(0, Phase::living, 0).id(0), 0u);
}

TEST_F(ClaimTest, NumbersAreTheSameInEveryProcess) {
    auto other = another();
    std::map<unsigned, std::string> seen;
    for (int n = 0; n < 31; n++) {
        std::string name = "watcher" + std::to_string(n);
        unsigned number = (n % 2 ? member.columns : other->columns).number_of(name.c_str(), 0);
        EXPECT_TRUE(number >= 1 && number <= 31);
        EXPECT_TRUE(seen.emplace(number, name).second) << "its own";
    }
    for (auto &[number, name] : seen) EXPECT_EQ(other->columns.number_of(name.c_str(), 0), number);
    EXPECT_EQ(member.columns.number_of("one too many", 0), unnumbered);
    EXPECT_EQ(member.columns.number_of(nullptr, 0), unnumbered);
}

TEST_F(ClaimTest, TwoBlocksOfOneNameHaveTwoNumbers) {
    EXPECT_NE(member.columns.number_of("one", 0), member.columns.number_of("one", 1));
    EXPECT_EQ(member.columns.number_of("one", 1), member.columns.number_of("one", 1));
}

}  // namespace
