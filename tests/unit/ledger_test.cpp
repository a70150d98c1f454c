// SPDX-License-Identifier: MIT
// The session's memory: ids, who is found, who may tell an end, cells and shared words. Two Ledgers of one
// session stand for two processes.
#include "ledger_case.hpp"

#include <signal.h>
#include <taskwatch/taskwatch.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "clock.hpp"

using taskwatch::Ledger;
using taskwatch::Task;

namespace {

using LedgerTest = WithSession;

TEST_F(LedgerTest, IdsAreUniqueAndNeverReused) {
    std::set<uint64_t> ids;
    for (int round = 0; round < 3000; round++) {
        Task a = make(1000), b = make(2000);
        ids.insert(a.id);
        ids.insert(b.id);
        leave(a);
        if (round % 7) leave(b);  // some stay
    }
    EXPECT_EQ(ids.size(), 6000u);
    EXPECT_EQ(ids.count(0), 0u);
}

TEST_F(LedgerTest, ATaskIsFoundByItsPidWhileItLives) {
    Task parent = make(4242);
    Task task = make(4243, &parent), found;
    EXPECT_EQ(task.parent_id, parent.id);
    auto other = another();
    ASSERT_TRUE(other->ledger.find(4243, found));
    EXPECT_EQ(found.id, task.id);
    EXPECT_EQ(found.parent_id, parent.id);
    EXPECT_EQ(found.tgid, 4243);
    EXPECT_EQ(found.ppid, 1);
    EXPECT_FALSE(other->ledger.find(4244, found));
    EXPECT_FALSE(other->ledger.find(0, found));
    EXPECT_FALSE(other->ledger.find(-1, found));
    taskwatch::Claim claim;
    ASSERT_TRUE(member->claim_end(task, me(), 0, claim));
    EXPECT_FALSE(other->ledger.find(4243, found)) << "its end is being told";
    ASSERT_TRUE(other->ledger.find_owing(4243, found));
    EXPECT_EQ(found.id, task.id);
    member->leave(claim);
    EXPECT_FALSE(other->ledger.find_owing(4243, found));
    EXPECT_FALSE(other->ledger.find(4243, found));
    EXPECT_TRUE(other->ledger.find(4242, found));
}

// A process and its parent were killed; nobody has told its end when the kernel gives its pid away again.
TEST_F(LedgerTest, AThreadOfAnEarlierProcessWithItsPidIsNotOfTheGroup) {
    auto thread_of = [&](pid_t tgid, pid_t tid, uint64_t start_ns) {
        Task creator = {}, thread = {};
        member->find(tgid, creator);
        thread.tgid = tgid;
        member->enter(thread, &creator);
        thread.pid = tid;
        thread.start_ns = start_ns;
        member->settle(thread);
        return thread;
    };
    const pid_t pid = 4194305;
    Task before = make(pid);
    Task stale = thread_of(pid, pid + 1, 100);
    Task now = make(pid, nullptr, 200);
    Task own = thread_of(pid, pid + 2, 200);
    std::vector<uint64_t> group;
    auto collect = [](void *seen, const Task &task) { static_cast<std::vector<uint64_t> *>(seen)->push_back(task.id); };
    member->for_each_in_group(now, now, collect, &group);
    EXPECT_EQ(group, std::vector<uint64_t>{own.id}) << "not " << stale.id << " or " << before.id;
}

TEST_F(LedgerTest, WhoTellsItsEndDoesNotLiveAnyMore) {
    const uint64_t now = taskwatch::boottime_ns();
    Task self = make(getpid(), nullptr, now), dead = make(4194305, nullptr, now), stale = make(getppid(), nullptr, 1);
    EXPECT_FALSE(member->has_living_others(self)) << dead.id << " and " << stale.id << " are owed";
    Task other = make(getppid(), nullptr, now);
    EXPECT_TRUE(member->has_living_others(self));
    taskwatch::Claim claim;
    ASSERT_TRUE(member->claim_end(other, me(), 0, claim));
    EXPECT_FALSE(member->has_living_others(self));
    member->leave(claim);
    // Announced by one who lives.
    Task announced;
    member->enter(announced, &self);
    EXPECT_TRUE(member->has_living_others(self));
    leave(announced);
    EXPECT_FALSE(member->has_living_others(self));
}

TEST_F(LedgerTest, TheFirstTaskOfASessionIsSomebodyToo) {
    Task first = make(getpid(), nullptr, taskwatch::boottime_ns()), other = make(4194305), another_one = make(getppid());
    EXPECT_EQ(first.id, 1u);
    taskwatch::Claim own, theirs;
    ASSERT_TRUE(member->claim_end(other, first, 0, own));
    EXPECT_FALSE(member->claim_end(other, another_one, 0, theirs)) << "it lives";
    EXPECT_TRUE(member->claim_end(other, another_one, getpid(), theirs)) << "now it is dead";
}

// Its parent was killed too, or waits by system calls of its own: nobody has told its end.
TEST_F(LedgerTest, WhoDiedUnderThisPidBeforeItBeganIsSomebodyElse) {
    uint64_t now = taskwatch::boottime_ns();
    Task found;
    Task before = make(getpid(), nullptr, 1);
    EXPECT_TRUE(member->find(getpid(), found));
    EXPECT_FALSE(member->find_living(getpid(), found));
    EXPECT_FALSE(member->find_after_exec(getpid(), found)) << "nobody has marked an exec";
    member->mark_exec(before, true);
    EXPECT_TRUE(member->find_after_exec(getpid(), found));
    EXPECT_EQ(found.id, before.id);
    EXPECT_FALSE(member->find_after_exec(getpid(), found)) << "once";
    member->mark_exec(before, true);
    member->mark_exec(before, false);
    EXPECT_FALSE(member->find_after_exec(getpid(), found)) << "it has failed";
    leave(before);
    Task self = make(getpid(), nullptr, now);
    EXPECT_TRUE(member->find_living(getpid(), found));
    EXPECT_TRUE(member->find_after_exec(getpid(), found));
    EXPECT_EQ(found.id, self.id);
}

// A child that nobody holds settles itself, and may be ahead of its creator.
TEST_F(LedgerTest, ATaskBeganWhenItWasFirstSettled) {
    Task task = make(4194305, nullptr, 100), found;
    task.start_ns = 300;
    member->settle(task);
    ASSERT_TRUE(member->find(task.pid, found));
    EXPECT_EQ(found.start_ns, 100u);
}

TEST_F(LedgerTest, AThreadThatExecutedHasItsProcessFromItsBeginning) {
    const pid_t pid = getpid(), gone = 4194305;
    Task leader = make(pid, nullptr, 100), found;
    Task thread = {};
    thread.tgid = pid;
    member->enter(thread, &leader);
    thread.pid = gone;
    thread.start_ns = 300;
    member->settle(thread);
    member->mark_successor(leader, thread, true);
    ASSERT_TRUE(member->find_after_exec(pid, found));
    EXPECT_EQ(found.id, thread.id);
    EXPECT_EQ(found.start_ns, 100u) << "its process's, as the kernel has it";
    // Once more, with the leader gone: what the kernel says.
    member->mark_successor(leader, thread, true);
    leave(leader);
    found = {};
    ASSERT_TRUE(member->find_after_exec(pid, found));
    EXPECT_EQ(found.id, thread.id);
}

TEST_F(LedgerTest, OfTwoTasksWithOnePidTheLaterOneIsFound) {
    const pid_t gone = 4194305;  // more than any pid
    std::vector<Task> tasks;
    // Places in the first segment and in another one.
    for (pid_t pid = gone; pid < gone + 200; pid++) tasks.push_back(make(pid));
    Task first = make(gone + 10), second = make(gone + 190), found;
    auto other = another();
    ASSERT_TRUE(other->ledger.find(gone + 10, found));
    EXPECT_EQ(found.id, first.id);
    ASSERT_TRUE(other->ledger.find_owing(gone + 190, found));
    EXPECT_EQ(found.id, second.id);
    EXPECT_TRUE(leave(first));
    EXPECT_FALSE(other->ledger.find_owing(gone + 10, found)) << "the earlier one is no more";
    std::vector<pid_t> owed;
    other->ledger.for_each_dead(
        [](void *seen, const Task &task) { static_cast<std::vector<pid_t> *>(seen)->push_back(task.pid); }, &owed);
    EXPECT_EQ(owed.size(), 201u) << "the earlier ones are owed all the same, under their pid";
    EXPECT_EQ(std::count(owed.begin(), owed.end(), gone + 10), 1);
    EXPECT_EQ(std::count(owed.begin(), owed.end(), gone + 190), 2);
}

TEST_F(LedgerTest, OneWhosePidSomebodyElseHasIsOwed) {
    Task stale = make(getppid(), nullptr, 1), lives = make(getpid(), nullptr, taskwatch::boottime_ns());
    std::vector<uint64_t> owed;
    auto collect = [](void *seen, const Task &task) { static_cast<std::vector<uint64_t> *>(seen)->push_back(task.id); };
    EXPECT_EQ(member->for_each_dead(collect, &owed), 1);
    EXPECT_EQ(owed, std::vector<uint64_t>{stale.id}) << "not " << lives.id;
    // The one who had begun to tell an end, too.
    taskwatch::Claim claim;
    Task told = make(getpid(), nullptr, taskwatch::boottime_ns());
    ASSERT_TRUE(member->claim_end(told, stale, 0, claim));
    EXPECT_TRUE(member->claim_end(told, lives, 0, claim));
    EXPECT_FALSE(member->claim_end(told, stale, 0, claim)) << "its owner lives";
}

TEST_F(LedgerTest, TasksWhosePidsCollideInTheHintsAreAllFound) {
    std::vector<Task> tasks;
    for (pid_t pid = 7; pid < 7 + 8192 * 300; pid += 8192) tasks.push_back(make(pid));
    Task found;
    for (const Task &task : tasks) {
        ASSERT_TRUE(member->find(task.pid, found));
        EXPECT_EQ(found.id, task.id);
    }
    // The same pids once more, all of whose earlier tasks are owed; when the later ones have ended nobody has them.
    for (Task &task : tasks) {
        task = make(task.pid);
        ASSERT_TRUE(member->find_owing(task.pid, found));
        EXPECT_EQ(found.id, task.id);
    }
    for (const Task &task : tasks) {
        leave(task);
        EXPECT_FALSE(member->find_owing(task.pid, found));
    }
}

TEST_F(LedgerTest, OneOfEightThreadsMayTellAnEnd) {
    constexpr int rounds = 300, threads = 8;
    auto other = another();
    for (int round = 0; round < rounds; round++) {
        Task task = make(5000 + round);
        std::atomic<int> ready{0}, winners{0};
        taskwatch::Claim won[threads];
        std::vector<std::thread> all;
        for (int i = 0; i < threads; i++)
            all.emplace_back([&, i] {
                Ledger &ledger = i % 2 ? member.ledger : other->ledger;
                ready++;
                while (ready < threads) std::this_thread::yield();
                taskwatch::Claim claim;
                if (!ledger.claim_end(task, me(), 0, claim)) return;
                winners++;
                won[i] = claim;
            });
        for (std::thread &thread : all) thread.join();
        ASSERT_EQ(winners, 1);
        EXPECT_FALSE(claim(member.ledger, task)) << "its owner lives";
        for (taskwatch::Claim &claim : won)
            if (claim.slot) member->leave(claim);
        EXPECT_FALSE(claim(member.ledger, task)) << "nor when its place is free again";
        Task next = make(5000 + round);
        EXPECT_FALSE(claim(member.ledger, task)) << "nor when another has it";
        EXPECT_TRUE(leave(next));
    }
}

TEST_F(LedgerTest, ItGrowsToThousandsAndSaysWhenItIsFull) {
    auto other = another();  // before there was anything beyond the first segment
    std::vector<Task> tasks;
    std::set<uint64_t> ids;
    for (pid_t pid = 1; pid <= 32768; pid++) {
        Task task;
        if (!member->enter(task, nullptr)) break;
        task.pid = task.tgid = 1000000 + pid;
        member->settle(task);
        tasks.push_back(task);
        ids.insert(task.id);
    }
    EXPECT_GE(tasks.size(), 30000u);
    EXPECT_EQ(ids.size(), tasks.size());
    EXPECT_EQ(member->living(), tasks.size());
    Task found, beyond;
    for (size_t i = 0; i < tasks.size(); i += 997) {
        ASSERT_TRUE(other->ledger.find(tasks[i].pid, found)) << i;
        EXPECT_EQ(found.id, tasks[i].id);
    }
    EXPECT_FALSE(member->enter(beyond, nullptr));
    EXPECT_EQ(beyond.slot, Task::no_slot);
    EXPECT_NE(beyond.id, 0u);
    EXPECT_EQ(ids.count(beyond.id), 0u);
    EXPECT_EQ(cell_of(beyond, "watcher"), nullptr);
    EXPECT_TRUE(claim(member.ledger, beyond)) << "nobody else knows it";
    leave(tasks[20000]);
    ASSERT_TRUE(member->enter(beyond, nullptr));
    EXPECT_EQ(ids.count(beyond.id), 0u);
    for (const Task &task : tasks) leave(task);
    leave(beyond);
    EXPECT_EQ(member->living(), 0u);
    member.session.close();  // the further segments
}

TEST_F(LedgerTest, ACellIsTheSameInEveryProcessAndZeroAtFirst) {
    auto other = another();
    for (int round = 0; round < 500; round++) {
        Task task = make(100 + round);
        auto *here = static_cast<uint64_t *>(cell_of(task, "one"));
        auto *there = static_cast<uint64_t *>(other->columns.cell_of(task.id, "one"));
        auto *second = static_cast<uint64_t *>(other->columns.cell_of(task.id, "two"));
        ASSERT_TRUE(here && there && second);
        EXPECT_EQ(here[0] | here[1] | second[0] | second[1], 0u);
        here[0] = task.id;
        here[1] = 7;
        EXPECT_EQ(there[0], task.id);
        EXPECT_EQ(there[1], 7u);
        EXPECT_EQ(second[0], 0u);
        there[0] = second[1] = 9;
        leave(task);
        EXPECT_EQ(cell_of(task, "one"), nullptr);
    }
}

TEST_F(LedgerTest, CellsOfTasksInFurtherSegmentsAreTheirOwn) {
    std::vector<Task> tasks;
    for (pid_t pid = 1; pid <= 3000; pid++) tasks.push_back(make(pid));
    for (const Task &task : tasks) *static_cast<uint64_t *>(cell_of(task, "one")) = task.id;
    auto other = another();
    for (const Task &task : tasks) ASSERT_EQ(*static_cast<uint64_t *>(other->columns.cell_of(task.id, "one")), task.id);
    member.session.close();
}

TEST_F(LedgerTest, SharedWordsAreOneForEachWatcher) {
    auto other = another();
    auto *one = static_cast<char *>(member.columns.shared("one", TASKWATCH_SHARED_MAX));
    auto *two = static_cast<char *>(member.columns.shared("two", 8));
    ASSERT_TRUE(one && two);
    EXPECT_EQ((uintptr_t)one % 64, 0u);
    EXPECT_EQ(std::string(one, TASKWATCH_SHARED_MAX), std::string(TASKWATCH_SHARED_MAX, '\0'));
    memset(one, 0x55, TASKWATCH_SHARED_MAX);
    EXPECT_EQ(two[0], 0);
    EXPECT_EQ(memcmp(other->columns.shared("one", 8), one, TASKWATCH_SHARED_MAX), 0);
    EXPECT_EQ(member.columns.shared("one", TASKWATCH_SHARED_MAX + 1), nullptr);
    EXPECT_EQ(member.columns.shared(nullptr, 8), nullptr);
}

TEST_F(LedgerTest, TheNinthWatcherGetsNothing) {
    Task task = make(100);
    for (int i = 0; i < TASKWATCH_CELL_WATCHERS; i++)
        EXPECT_NE(cell_of(task, ("watcher" + std::to_string(i)).c_str()), nullptr);
    EXPECT_EQ(cell_of(task, "ninth"), nullptr);
    EXPECT_EQ(member.columns.shared("ninth", 8), nullptr);
    EXPECT_NE(cell_of(task, "watcher3"), nullptr);
}

TEST_F(LedgerTest, OnceIsOncePerSessionWatcherAndKey) {
    auto other = another();
    EXPECT_TRUE(member.columns.once("one", 3));
    EXPECT_FALSE(other->columns.once("one", 3));
    EXPECT_TRUE(other->columns.once("one", 4));
    EXPECT_TRUE(other->columns.once("two", 3));
    EXPECT_FALSE(member.columns.once("two", 3));
}

TEST_F(LedgerTest, WhoIsGoneIsTold) {
    // A child that is no more, one that is a corpse, and one that lives; a creation whose creator is no more.
    int from_test[2];
    ASSERT_EQ(pipe(from_test), 0);
    pid_t pids[3];
    for (pid_t &pid : pids) {
        pid = fork();
        if (pid == 0) {
            char byte;
            close(from_test[1]);
            _exit(read(from_test[0], &byte, 1) == 0 ? 0 : 1);
        }
    }
    kill(pids[0], SIGKILL);
    kill(pids[1], SIGKILL);
    siginfo_t info;
    ASSERT_EQ(waitpid(pids[0], nullptr, 0), pids[0]);
    ASSERT_EQ(waitid(P_PID, (id_t)pids[1], &info, WEXITED | WNOWAIT), 0);

    std::set<uint64_t> gone{make(pids[0]).id, make(pids[1]).id};
    Task alive = make(pids[2]), creator, made;
    creator.pid = creator.tgid = pids[0];
    member->enter(made, &creator);
    gone.insert(made.id);
    std::set<uint64_t> seen;
    EXPECT_EQ(member->for_each_dead([](void *c, const Task &t) { static_cast<std::set<uint64_t> *>(c)->insert(t.id); },
                                     &seen),
              3);
    EXPECT_EQ(seen, gone);
    close(from_test[1]);
    EXPECT_EQ(waitpid(pids[1], nullptr, 0), pids[1]);
    EXPECT_EQ(waitpid(pids[2], nullptr, 0), pids[2]);
    EXPECT_TRUE(leave(alive));
}

TEST_F(LedgerTest, TheLastTaskKnowsThatItIs) {
    Task a = make(10), b = make(11);
    EXPECT_EQ(member->living(), 2u);
    EXPECT_FALSE(member->is_last(a));
    leave(b);
    leave(b);
    EXPECT_TRUE(member->is_last(a));
    leave(a);
    EXPECT_EQ(member->living(), 0u);
}

TEST_F(LedgerTest, AnyProcessCanFailTheSessionInItsWatchersName) {
    char name[32];
    auto other = another();
    EXPECT_FALSE(member.columns.failed());
    EXPECT_FALSE(member.columns.failed_by(0, name));
    ASSERT_NE(member.columns.shared("bystander", 8), nullptr);
    EXPECT_TRUE(other->columns.fail("privdrop"));
    EXPECT_TRUE(member.columns.fail("leak"));
    EXPECT_TRUE(member.columns.fail("leak"));
    EXPECT_TRUE(member.columns.failed());
    ASSERT_TRUE(member.columns.failed_by(0, name));
    EXPECT_STREQ(name, "privdrop");
    ASSERT_TRUE(other->columns.failed_by(1, name));
    EXPECT_STREQ(name, "leak");
    EXPECT_FALSE(member.columns.failed_by(2, name));
}

TEST_F(LedgerTest, AWatcherWithoutAColumnFailsTheSessionWithoutAName) {
    char name[32];
    for (const char *watcher : {"a", "b", "c", "d", "e", "f", "g", "h"}) (void)member.columns.shared(watcher, 8);
    EXPECT_TRUE(member.columns.fail("ninth"));
    EXPECT_TRUE(member.columns.failed());
    EXPECT_FALSE(member.columns.failed_by(0, name));
}

TEST(LedgerWithoutSession, GivesIdsAndNothingElse) {
    auto alone = std::make_unique<Member>();
    Task a, b, found;
    EXPECT_FALSE(alone->ledger.enter(a, nullptr));
    EXPECT_FALSE(alone->ledger.enter(b, &a));
    EXPECT_NE(a.id, b.id);
    EXPECT_NE(a.id, 0u);
    EXPECT_EQ(b.parent_id, a.id);
    a.pid = 5;
    alone->ledger.settle(a);
    EXPECT_FALSE(alone->ledger.find(5, found));
    EXPECT_EQ(alone->columns.cell_of(a.id, "one"), nullptr);
    EXPECT_EQ(alone->columns.shared("one", 8), nullptr);
    taskwatch::Claim claim;
    EXPECT_TRUE(alone->ledger.claim_end(a, b, 0, claim));
    alone->ledger.leave(claim);
    EXPECT_EQ(alone->ledger.living(), 0u);
    EXPECT_TRUE(alone->columns.once("one", 1));
    EXPECT_FALSE(alone->columns.once("one", 1));
    EXPECT_FALSE(alone->columns.fail("one"));
    EXPECT_FALSE(alone->columns.failed());
    alone->session.close();
}

}  // namespace
