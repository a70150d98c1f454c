// SPDX-License-Identifier: MIT
// What is left of a session when all of it was killed, and who takes it away; how much memory a session takes.
#include <signal.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "ledger_case.hpp"

using taskwatch::Task;

namespace {

// A process that founds a session, does something with it and then waits to be killed.
class Founder {
  public:
    explicit Founder(const std::function<void(Member &)> &prepare) {
        int pipe_ends[2];
        EXPECT_EQ(pipe(pipe_ends), 0);
        pid_ = fork();
        if (pid_ == 0) {
            static Member member;
            if (member.session.found(getpid()) != 0) _exit(1);
            Task self;
            member->enter(self, nullptr);
            self.pid = self.tgid = getpid();
            member->settle(self);
            prepare(member);
            char name[64];
            member.session.write_name(name);
            int32_t ids[2] = {atoi(name), member.session.memory.header()->extension_ids[0].load() - 1};
            if (detached) shmdt(member.session.memory.base());
            if (write(pipe_ends[1], ids, sizeof ids) != sizeof ids) _exit(1);
            for (;;) pause();
        }
        EXPECT_EQ(read(pipe_ends[0], ids_, sizeof ids_), (ssize_t)sizeof ids_);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
    }
    ~Founder() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        for (int id : ids_)
            if (id >= 0) shmctl(id, IPC_RMID, nullptr);
    }
    // A corpse is left.
    void kill_it() {
        siginfo_t info;
        kill(pid_, SIGKILL);
        EXPECT_EQ(waitid(P_PID, (id_t)pid_, &info, WEXITED | WNOWAIT), 0);
    }
    bool exists(int which) const {
        shmid_ds ds;
        return shmctl(ids_[which], IPC_STAT, &ds) == 0;
    }
    pid_t pid() const { return pid_; }
    static bool detached;

  private:
    pid_t pid_;
    int32_t ids_[2] = {-1, -1};
};
bool Founder::detached = false;

void nothing(Member &) {}
void thousands(Member &member) {
    for (int n = 0; n < 3000; n++) {
        Task task;
        member->enter(task, nullptr);
        task.pid = task.tgid = getpid();
        member->settle(task);
    }
}

void found_another() {
    Member member;
    ASSERT_EQ(member.session.found(getpid()), 0);
    member.session.close();
}

TEST(SegmentTest, WhatAKilledSessionLeftIsRemovedByTheNextOne) {
    Founder::detached = false;
    Founder founder(thousands);
    ASSERT_TRUE(founder.exists(0) && founder.exists(1));
    found_another();
    EXPECT_TRUE(founder.exists(0) && founder.exists(1)) << "it lives";
    founder.kill_it();
    found_another();
    EXPECT_FALSE(founder.exists(0)) << "at once";
    EXPECT_FALSE(founder.exists(1));
}

TEST(SegmentTest, ASessionInTheMiddleOfAnExecIsNotTakenForDead) {
    // Nobody has it mapped, but one of its tasks lives.
    Founder::detached = true;
    Founder founder(nothing);
    found_another();
    EXPECT_TRUE(founder.exists(0));
    founder.kill_it();
    found_another();
    EXPECT_FALSE(founder.exists(0));
}

TEST(SegmentTest, AFurtherSegmentWhoseMakerWasKilledTooEarlyIsRemoved) {
    Founder::detached = false;
    Founder founder([](Member &member) {
        thousands(member);
        // The session has not heard of it yet.
        member.session.memory.header()->extension_ids[0].store(0);
        member.session.memory.header()->extension_ids[1].store(0);
    });
    auto left = [&] {
        std::ifstream list("/proc/sysvipc/shm");
        std::string line;
        int count = 0;
        while (std::getline(list, line)) {
            std::istringstream words(line);
            std::string key;
            long id, mode, size, creator;
            if (!(words >> key >> id >> mode >> size >> creator)) continue;
            count += creator == founder.pid();
        }
        return count;
    };
    EXPECT_EQ(left(), 3);
    founder.kill_it();
    found_another();
    EXPECT_EQ(left(), 0);
}

// One that a process makes and does something with before it ends; -1: none.
int made_by_a_dead_process(size_t bytes, uint64_t first_word) {
    int pipe_ends[2], id = -1;
    EXPECT_EQ(pipe(pipe_ends), 0);
    pid_t maker = fork();
    if (maker == 0) {
        id = shmget(IPC_PRIVATE, bytes, 0600);
        if (first_word) *static_cast<uint64_t *>(shmat(id, nullptr, 0)) = first_word;
        if (write(pipe_ends[1], &id, sizeof id) != sizeof id) _exit(1);
        raise(SIGKILL);
    }
    EXPECT_EQ(read(pipe_ends[0], &id, sizeof id), (ssize_t)sizeof id);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    EXPECT_EQ(waitpid(maker, nullptr, 0), maker);
    return id;
}

bool exists(int id) {
    shmid_ds ds;
    return shmctl(id, IPC_STAT, &ds) == 0;
}

TEST(SegmentTest, OneWhoseMakerWasKilledBeforeItWroteAWordIsRemoved) {
    using namespace taskwatch::layout;
    int first = made_by_a_dead_process(first_size, 0), further = made_by_a_dead_process(extension_size, 0);
    // Somebody else's.
    std::vector<int> others = {made_by_a_dead_process(first_bytes, 0), made_by_a_dead_process(first_size, 1),
                               made_by_a_dead_process(extension_size, 1), shmget(IPC_PRIVATE, extension_size, 0600)};
    found_another();
    EXPECT_FALSE(exists(first));
    EXPECT_FALSE(exists(further));
    for (int id : others) {
        EXPECT_TRUE(exists(id));
        shmctl(id, IPC_RMID, nullptr);
    }
}

// Twelve processes at once have used up what there is.
TEST(SegmentTest, WhileOneMakesMoreTheOthersFindTheirPlaceAllTheSame) {
    constexpr int processes = 12, tasks = 500;
    Member member;
    ASSERT_EQ(member.session.found(getpid()), 0);
    int go[2];
    ASSERT_EQ(pipe(go), 0);
    pid_t children[processes];
    for (pid_t &child : children) {
        child = fork();
        if (child != 0) continue;
        char byte;
        close(go[1]);
        if (read(go[0], &byte, 1) != 0) _exit(2);
        for (int n = 0; n < tasks; n++)
            if (Task task; !member->enter(task, nullptr)) _exit(1);
        _exit(0);
    }
    close(go[0]);
    close(go[1]);
    for (pid_t child : children) {
        int status = -1;
        waitpid(child, &status, 0);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(member->living(), (uint32_t)(processes * tasks));
    member.session.close();
}

TEST(SegmentTest, OneWhoWasKilledWhileItGrewHoldsNobodyUp) {
    Member member;
    ASSERT_EQ(member.session.found(getpid()), 0);
    pid_t dead = fork();
    if (dead == 0) _exit(0);
    ASSERT_EQ(waitpid(dead, nullptr, 0), dead);
    member.session.memory.header()->growing.store(dead);
    EXPECT_TRUE(member.session.memory.grow());
    member.session.memory.header()->growing.store(getppid());
    EXPECT_FALSE(member.session.memory.grow()) << "somebody else is at it";
    member.session.close();
}

// --- how much

long resident(int id) {
    std::ifstream list("/proc/sysvipc/shm");
    std::string line;
    std::getline(list, line);
    while (std::getline(list, line)) {
        std::istringstream words(line);
        std::vector<std::string> all;
        for (std::string word; words >> word;) all.push_back(word);
        if (all.size() > 14 && atol(all[1].c_str()) == id) return atol(all[14].c_str());
    }
    return -1;
}

TEST(SegmentTest, AThousandLivingTasksTakeLessThanAHundredKiB) {
    Member member;
    ASSERT_EQ(member.session.found(getpid()), 0);
    char name[64];
    member.session.write_name(name);
    auto total = [&] {
        long bytes = resident(atoi(name));
        for (auto &id : member.session.memory.header()->extension_ids)
            if (id.load()) bytes += resident(id.load() - 1);
        return bytes;
    };
    // One watcher keeps a cell for each.
    auto make = [&](pid_t pid) {
        Task task;
        EXPECT_TRUE(member->enter(task, nullptr));
        task.pid = task.tgid = pid;
        member->settle(task);
        static_cast<uint64_t *>(member.columns.cell_of(task.id, "watcher"))[0] = 1;
    };
    for (pid_t pid = 1000; pid < 1010; pid++) make(pid);
    EXPECT_LT(total(), 256 * 1024) << "an idle session";
    EXPECT_EQ(taskwatch::layout::first_bytes, 64u * 1024);
    long before = total();
    for (pid_t pid = 2000; pid < 22000; pid++) make(pid);
    EXPECT_LT((total() - before) / 20, 100 * 1024);
    member.session.close();
}

TEST(SegmentTest, WhatAChildWritesAtItsEndIsInOnePage) {
    Member member;
    ASSERT_EQ(member.session.found(getpid()), 0);
    Task task;
    ASSERT_TRUE(member->enter(task, nullptr));
    task.pid = task.tgid = 1000;
    member->settle(task);
    auto copy = [&] { return std::string(member.session.memory.base(), taskwatch::layout::first_bytes); };
    std::string before = copy();
    taskwatch::Claim claim;
    ASSERT_TRUE(member->claim_end(task, task, 0, claim));
    claim.begin(claim, 1);
    claim.end(claim, 1);
    member->exit_told(claim);
    claim.begin(claim, 1);
    claim.end(claim, 1);
    member->leave(claim);
    std::string after = copy();
    std::vector<size_t> pages;
    for (size_t page = 0; page < before.size(); page += 4096)
        if (before.compare(page, 4096, after, page, 4096) != 0) pages.push_back(page);
    EXPECT_EQ(pages, std::vector<size_t>{taskwatch::layout::busy_offset / 4096 * 4096});
    member.session.close();
}

}  // namespace
