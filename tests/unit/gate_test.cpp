// SPDX-License-Identifier: MIT
// Where a child is held: opened before or after it comes, taken over when the creator is gone, and not used up.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "gate.hpp"
#include "sys.hpp"

using namespace taskwatch;

namespace {

char read_byte(int fd) {
    char byte = 0;
    ssize_t n;
    do n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? byte : '\0';
}

void write_byte(int fd, char byte) { (void)!write(fd, &byte, 1); }

char state_of(pid_t pid) {
    std::string path = "/proc/" + std::to_string(pid) + "/stat";
    FILE *file = fopen(path.c_str(), "re");
    if (!file) return '?';
    char text[256] = "";
    if (!fgets(text, sizeof text, file)) text[0] = '\0';
    fclose(file);
    const char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}

void await_state(pid_t pid, char state) {
    while (state_of(pid) != state) usleep(100);
}

class GateTest : public testing::Test {
  protected:
    void SetUp() override { ASSERT_EQ(pipe(from_child), 0); }
    void TearDown() override {
        close(from_child[0]);
        if (from_child[1] >= 0) close(from_child[1]);
    }
    Hold take() { return take_gate(getpid(), sys::gettid()); }
    // A child that waits at the gate and says how it came through: 'o' opened, 't' taken over.
    pid_t child_at(Hold gate, bool leave_pid = false) {
        pid_t pid = fork();
        if (pid == 0) {
            write_byte(from_child[1], wait_at_gate(gate, leave_pid) == Passage::released ? 'o' : 't');
            _exit(0);
        }
        return pid;
    }
    int from_child[2];
};

TEST_F(GateTest, AChildWaitsUntilItIsOpened) {
    Hold gate = take();
    ASSERT_TRUE(gate);
    pid_t child = child_at(gate);
    await_state(child, 'S');
    EXPECT_EQ(gate->word & 7, Gate::awaited);
    EXPECT_TRUE(open_gate(gate));
    EXPECT_EQ(read_byte(from_child[0]), 'o');
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    return_gate(gate);
}

TEST_F(GateTest, AnOpenOneHoldsNobody) {
    Hold gate = take();
    EXPECT_TRUE(open_gate(gate));
    EXPECT_EQ(wait_at_gate(gate, false), Passage::released);
    return_gate(gate);
}

TEST_F(GateTest, AChildLeavesItsPidForItsCreator) {
    Hold gate = take();
    pid_t child = child_at(gate, true);
    EXPECT_EQ(await_child_pid(gate), child);
    await_state(child, 'S');
    EXPECT_TRUE(open_gate(gate));
    EXPECT_EQ(read_byte(from_child[0]), 'o');
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    return_gate(gate);
}

TEST_F(GateTest, AChildWhoseCreatorIsKilledTakesOver) {
    int to_test[2];
    ASSERT_EQ(pipe(to_test), 0);
    pid_t creator = fork();
    if (creator == 0) {
        forget_inherited_gates();  // as in any forked child
        pid_t child = child_at(take());
        (void)!write(to_test[1], &child, sizeof child);
        for (;;) pause();
    }
    pid_t child = 0;
    ASSERT_EQ(read(to_test[0], &child, sizeof child), (ssize_t)sizeof child);
    await_state(child, 'S');
    kill(creator, SIGKILL);
    EXPECT_EQ(waitpid(creator, nullptr, 0), creator);
    EXPECT_EQ(read_byte(from_child[0]), 't');
    close(to_test[0]);
    close(to_test[1]);
}

TEST_F(GateTest, AChildWhoseCreatorIsACorpseTakesOver) {
    // Not reaped: its pid is still there.
    int to_test[2];
    ASSERT_EQ(pipe(to_test), 0);
    pid_t creator = fork();
    if (creator == 0) {
        forget_inherited_gates();  // as in any forked child
        pid_t child = child_at(take());
        (void)!write(to_test[1], &child, sizeof child);
        for (;;) pause();
    }
    pid_t child = 0;
    ASSERT_EQ(read(to_test[0], &child, sizeof child), (ssize_t)sizeof child);
    await_state(child, 'S');
    kill(creator, SIGKILL);
    EXPECT_EQ(read_byte(from_child[0]), 't');
    EXPECT_EQ(waitpid(creator, nullptr, 0), creator);
    close(to_test[0]);
    close(to_test[1]);
}

TEST_F(GateTest, OpeningComesTooLateForOneThatHasTakenOver) {
    // Its creator is named as a process that is not there.
    Hold gate = take_gate(0x3ffffff0, 0x3ffffff0);
    pid_t child = child_at(gate);
    EXPECT_EQ(read_byte(from_child[0]), 't');
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(open_gate(gate));
    return_gate(gate);
}

TEST_F(GateTest, SixtyFourAtATimeEachForOneCreation) {
    std::map<Gate *, Hold> holds;
    for (int n = 0; n < 64; n++) {
        Hold gate = take();
        ASSERT_TRUE(gate);
        EXPECT_EQ(gate->word & 7, Gate::closed);
        EXPECT_TRUE(holds.emplace(gate.gate, gate).second);
    }
    EXPECT_FALSE(take());
    Hold one = holds.begin()->second;
    open_gate(one);
    return_gate(one);
    Hold again = take();
    EXPECT_EQ(again.gate, one.gate);
    EXPECT_NE(again.ticket, one.ticket);
    EXPECT_EQ(again->word & 7, Gate::closed);
    for (auto &[gate, hold] : holds) return_gate(hold);
    return_gate({});
}

TEST_F(GateTest, AChildThatLooksLateGoesThroughAGateThatIsAnothersByNow) {
    Hold mine = take();
    open_gate(mine);
    return_gate(mine);
    Hold another;
    do {
        if (another) return_gate(another);
        another = take();
    } while (another.gate != mine.gate);
    EXPECT_EQ(wait_at_gate(mine, false), Passage::released);
    EXPECT_EQ(another->word & 7, Gate::closed) << "and leaves it as it is";
    return_gate(another);
}

TEST_F(GateTest, ARefusedThreadIsToldSo) {
    Hold gate = take();
    refuse_at_gate(gate);
    EXPECT_EQ(wait_at_gate(gate, false), Passage::refused);
    return_gate(gate);
}

TEST_F(GateTest, AForkedChildHasGatesOfItsOwn) {
    Hold mine = take();
    pid_t child = fork();
    if (child == 0) {
        forget_inherited_gates();
        std::map<Gate *, Hold> holds;
        for (int n = 0; n < 64; n++) {
            Hold hold = take();
            holds.emplace(hold.gate, hold);
        }
        bool complete = holds.size() == 64 && !holds.count(nullptr);
        for (auto &[gate, hold] : holds) open_gate(hold);
        _exit(complete ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(mine->word & 7, Gate::closed) << "the child has opened its own only";
    return_gate(mine);
}

}  // namespace
