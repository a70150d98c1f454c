// SPDX-License-Identifier: MIT
// Finding a session again by its name, and memory that cannot be trusted: strangers' segments, wrong
// secrets, random bytes written by another process all the while.
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <random>
#include <sstream>

#include "ledger_case.hpp"

using taskwatch::Ledger;
using taskwatch::Task;

namespace {

constexpr size_t first_bytes = 64 * 1024;
constexpr uid_t nobody = 65534;

// WithSession removes its segment at once, and a removed one cannot be attached by name again.
class AttachTest : public testing::Test {
  protected:
    void SetUp() override {
        ASSERT_EQ(member->session.found(getpid()), 0);
        char text[64];
        member->session.write_name(text);
        name = text;
        segment = atoi(text);
    }
    void TearDown() override { shmctl(segment, IPC_RMID, nullptr); }

    int attach(const std::string &text) { return std::make_unique<Member>()->session.attach(text.c_str()); }

    std::unique_ptr<Member> member = std::make_unique<Member>();
    std::string name;
    int segment = -1;
};

TEST_F(AttachTest, ASessionIsFoundByItsName) {
    Task task, found;
    member->ledger.enter(task, nullptr);
    task.pid = task.tgid = 77;
    member->ledger.settle(task);
    Member other;
    ASSERT_EQ(other.session.attach(name.c_str()), 0);
    EXPECT_TRUE(other->find(77, found));
    EXPECT_EQ(other.session.id(), member->session.id());
    EXPECT_EQ(other.session.root(), getpid());
    EXPECT_NE(other.session.id(), 0u);
}

TEST_F(AttachTest, WhatIsNotANameIsRefused) {
    std::string secret = name.substr(name.find(':') + 1), id = name.substr(0, name.find(':'));
    for (const std::string &text :
         {std::string(), std::string(":"), id, id + ":", ":" + secret, id + ":" + secret.substr(1), name + "0",
          name + " ", "-1:" + secret, "99999999999:" + secret, id + ":" + secret.substr(1) + "G", "0x1:" + secret})
        EXPECT_EQ(attach(text), EINVAL) << text;
}

TEST_F(AttachTest, AWrongSecretOrAMissingSegmentIsRefused) {
    std::string wrong = name;
    wrong.back() = wrong.back() == '0' ? '1' : '0';
    EXPECT_EQ(attach(wrong), EIDRM);
    shmctl(segment, IPC_RMID, nullptr);
    member.reset();  // mapped for good: the id stays known, so take one that was never there
    EXPECT_EQ(attach("2147483000:0123456789abcdef"), EIDRM);
}

TEST_F(AttachTest, ASegmentOfAnotherSizeOrLayoutIsRefused) {
    for (size_t bytes : {size_t{4096}, 2 * first_bytes, first_bytes, taskwatch::layout::first_size}) {
        int id = shmget(IPC_PRIVATE, bytes, 0600);
        ASSERT_GE(id, 0);
        int error = attach(std::to_string(id) + ":0000000000000000");
        EXPECT_EQ(error, bytes == taskwatch::layout::first_size ? EPROTO : EIDRM) << bytes;
        shmctl(id, IPC_RMID, nullptr);
    }
}

TEST_F(AttachTest, ASegmentThatOthersCanWriteIsRefused) {
    shmid_ds ds = {};
    ASSERT_EQ(shmctl(segment, IPC_STAT, &ds), 0);
    ds.shm_perm.mode = 0666;
    ASSERT_EQ(shmctl(segment, IPC_SET, &ds), 0);
    EXPECT_EQ(attach(name), EPERM);
    ds.shm_perm.mode = 0600;
    ASSERT_EQ(shmctl(segment, IPC_SET, &ds), 0);
    EXPECT_EQ(attach(name), 0);
}

TEST_F(AttachTest, RootIsNotLedByMemoryThatAnotherUserHasMade) {
    if (geteuid() != 0) GTEST_SKIP() << "being two users needs root";
    // A user makes a session and gives it to root: what is in it is whatever he likes.
    ASSERT_EQ(seteuid(nobody), 0);
    Member users;
    EXPECT_EQ(users.session.found(getpid()), 0);
    char text[64];
    users.session.write_name(text);
    EXPECT_FALSE(users.session.memory.give_to(0)) << "never of our own doing";
    shmid_ds ds = {};
    EXPECT_EQ(shmctl(atoi(text), IPC_STAT, &ds), 0);
    ds.shm_perm.uid = 0;
    EXPECT_EQ(shmctl(atoi(text), IPC_SET, &ds), 0);
    ASSERT_EQ(seteuid(0), 0);
    EXPECT_EQ(attach(text), EPERM);
    shmctl(atoi(text), IPC_RMID, nullptr);
}

TEST_F(AttachTest, OfASessionThatWasGivenAwayRootFollowsNoFileAndNoProcess) {
    if (geteuid() != 0) GTEST_SKIP() << "being two users needs root";
    ASSERT_TRUE(member->session.memory.give_to(nobody));
    EXPECT_FALSE(member->session.memory.give_to(nobody)) << "it is his already";
    EXPECT_FALSE(member->session.memory.give_to(nobody - 1)) << "two users only";
    // What he could write: some file that he has open, and the process that has it.
    auto *header = static_cast<taskwatch::layout::Header *>(shmat(segment, nullptr, 0));
    header->streams[2] = {1, 2, 3};
    header->root = 4;
    Member other;
    ASSERT_EQ(other.session.attach(name.c_str()), 0);
    EXPECT_NE(other.session.stream(2), (taskwatch::FileIdentity{1, 2, 3}));
    EXPECT_EQ(other.session.stream_process(), getpid());
    member->session.memory.take_back();
    shmid_ds ds = {};
    ASSERT_EQ(shmctl(segment, IPC_STAT, &ds), 0);
    EXPECT_EQ(ds.shm_perm.uid, 0u);
    shmdt(header);
}

TEST_F(AttachTest, FurtherSegmentsAreBothUsers) {
    if (geteuid() != 0) GTEST_SKIP() << "being two users needs root";
    auto owner_of_the_second = [&] {
        shmid_ds ds = {};
        auto *header = member->session.memory.header();
        EXPECT_EQ(shmctl(header->extension_ids[0].load() - 1, IPC_STAT, &ds), 0);
        return ds.shm_perm.uid;
    };
    auto grow = [&] {
        for (int i = 0; i < 200; i++) {
            Task task;
            member->ledger.enter(task, nullptr);
        }
    };
    grow();
    EXPECT_EQ(owner_of_the_second(), 0u);
    ASSERT_TRUE(member->session.memory.give_to(nobody));
    EXPECT_EQ(owner_of_the_second(), nobody);
    member->session.memory.take_back();
    EXPECT_EQ(owner_of_the_second(), 0u);
    member->session.close();
    // Given before it grew.
    member = std::make_unique<Member>();
    SetUp();
    ASSERT_TRUE(member->session.memory.give_to(nobody));
    grow();
    EXPECT_EQ(owner_of_the_second(), nobody);
    member->session.close();
}

// --- random bytes

void scribble(char *memory, size_t bytes, unsigned seed) {
    std::minstd_rand random(seed);
    for (;;) {
        for (int n = 0; n < 64; n++) {
            size_t at = random() % (bytes - 8);
            uint64_t word = random();
            switch (random() % 4) {
                case 0: word = word << 32 | random(); break;
                case 1: word = UINT64_MAX; break;
                case 2: word &= 3; break;
                default: break;
            }
            memcpy(memory + at, &word, 8);
        }
    }
}

void use(Member &member, int rounds) {
    Ledger &ledger = member.ledger;
    std::minstd_rand random(1);
    Task tasks[32], found;
    taskwatch::Claim claim;
    for (int round = 0; round < rounds; round++) {
        Task &task = tasks[random() % 32];
        switch (random() % 10) {
            case 0: ledger.enter(task, &tasks[0]); break;
            case 1:
                task.pid = task.tgid = (pid_t)(random() % 100000);
                ledger.settle(task);
                break;
            case 2: ledger.find((pid_t)(random() % 100000), found); break;
            case 3:
                if (ledger.claim_end(task, tasks[1], 0, claim)) ledger.exit_told(claim);
                break;
            case 4: ledger.leave(claim); break;
            case 5:
                if (void *cell = member.columns.cell_of(task.id, "one")) memset(cell, 1, 16);
                break;
            case 6:
                if (void *words = member.columns.shared("two", 64)) memset(words, 1, 64);
                break;
            case 7: member.columns.once("three", random() % 32); break;
            case 8:
                if (ledger.find_after_exec(task.pid, found)) ledger.mark_exec(found, random() % 2);
                break;
            default:
                if (round % 64 == 0) ledger.for_each_dead([](void *, const Task &) {}, nullptr);
                ledger.is_last(task);
                break;
        }
    }
}

// Further segments that the child made, whose ids were written over.
void remove_segments_of(pid_t pid) {
    std::ifstream list("/proc/sysvipc/shm");
    std::string line;
    std::getline(list, line);
    while (std::getline(list, line)) {
        std::istringstream words(line);
        long key, id, mode, size, creator;
        if (words >> key >> id >> mode >> size >> creator && creator == pid) shmctl((int)id, IPC_RMID, nullptr);
    }
}

TEST_F(AttachTest, RandomBytesInTheMemoryDoNoHarm) {
    for (unsigned seed = 1; seed <= 4; seed++) {
        pid_t user_pid = fork();
        ASSERT_GE(user_pid, 0);
        if (user_pid == 0) {
            alarm(30);  // a hang
            Member user;
            if (user.session.attach(name.c_str()) != 0) _exit(1);
            auto *memory = static_cast<char *>(shmat(segment, nullptr, 0));
            pid_t scribbler = fork();
            if (scribbler == 0) {
                alarm(60);
                scribble(memory, first_bytes, seed);
            }
            use(user, 20000);
            kill(scribbler, SIGKILL);
            waitpid(scribbler, nullptr, 0);
            _exit(0);
        }
        int status = -1;
        ASSERT_EQ(waitpid(user_pid, &status, 0), user_pid);
        EXPECT_EQ(status, 0) << "seed " << seed;
        remove_segments_of(user_pid);
        TearDown();
        member = std::make_unique<Member>();
        SetUp();
    }
}

TEST_F(AttachTest, AStrangersSegmentIsNotRemovedWithTheSession) {
    // An id that was scribbled where the further segments' ids are.
    int stranger = shmget(IPC_PRIVATE, 8192, 0600);
    ASSERT_GE(stranger, 0);
    auto *words = static_cast<int32_t *>(shmat(segment, nullptr, 0));
    ASSERT_NE((void *)words, (void *)-1);
    // Further segments' ids are stored plus one; all the header's page but what says whose memory this is.
    for (size_t i = 24; i < 512; i++)
        if (words[i] == 0) words[i] = stranger + 1;
    member->session.close();
    shmid_ds ds;
    EXPECT_EQ(shmctl(stranger, IPC_STAT, &ds), 0);
    shmctl(stranger, IPC_RMID, nullptr);
    shmdt(words);
}

}  // namespace
