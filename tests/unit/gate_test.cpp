// SPDX-License-Identifier: MIT
// Where a child is held: opened before or after it comes, taken over when the creator is gone, and not used up.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
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
    Gate *take() { return take_gate(getpid(), sys::gettid()); }
    // A child that waits at the gate and says how it came through: 'o' opened, 't' taken over.
    pid_t child_at(Gate *gate, bool leave_pid = false) {
        pid_t pid = fork();
        if (pid == 0) {
            write_byte(from_child[1], wait_at_gate(gate, leave_pid) ? 'o' : 't');
            _exit(0);
        }
        return pid;
    }
    int from_child[2];
};

TEST_F(GateTest, AChildWaitsUntilItIsOpened) {
    Gate *gate = take();
    ASSERT_NE(gate, nullptr);
    pid_t child = child_at(gate);
    await_state(child, 'S');
    EXPECT_EQ(gate->state, Gate::awaited);
    EXPECT_TRUE(open_gate(gate));
    EXPECT_EQ(read_byte(from_child[0]), 'o');
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    return_gate(gate);
}

TEST_F(GateTest, AnOpenOneHoldsNobody) {
    Gate *gate = take();
    EXPECT_TRUE(open_gate(gate));
    EXPECT_TRUE(wait_at_gate(gate, false));
    return_gate(gate);
}

TEST_F(GateTest, AChildLeavesItsPidForItsCreator) {
    Gate *gate = take();
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
    Gate *gate = take_gate(0x3ffffff0, 0x3ffffff0);
    pid_t child = child_at(gate);
    EXPECT_EQ(read_byte(from_child[0]), 't');
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_FALSE(open_gate(gate));
    return_gate(gate);
}

TEST_F(GateTest, SixtyFourAtATimeEachForOneCreation) {
    std::set<Gate *> gates;
    for (int n = 0; n < 64; n++) {
        Gate *gate = take();
        ASSERT_NE(gate, nullptr);
        EXPECT_EQ(gate->state, Gate::closed);
        EXPECT_TRUE(gates.insert(gate).second);
    }
    EXPECT_EQ(take(), nullptr);
    Gate *one = *gates.begin();
    open_gate(one);
    return_gate(one);
    EXPECT_EQ(take(), one);
    EXPECT_EQ(one->state, Gate::closed);
    for (Gate *gate : gates) return_gate(gate);
    return_gate(nullptr);
}

TEST_F(GateTest, AJustReturnedOneIsNotTakenNext) {
    // Its child may still be on its way out.
    Gate *before = nullptr;
    for (int n = 0; n < 100; n++) {
        Gate *gate = take();
        EXPECT_NE(gate, before);
        return_gate(gate);
        before = gate;
    }
}

TEST_F(GateTest, AForkedChildHasGatesOfItsOwn) {
    Gate *mine = take();
    pid_t child = fork();
    if (child == 0) {
        forget_inherited_gates();
        std::set<Gate *> gates;
        for (int n = 0; n < 64; n++) gates.insert(take());
        bool complete = gates.size() == 64 && !gates.count(nullptr);
        for (Gate *gate : gates) open_gate(gate);
        _exit(complete ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(mine->state, Gate::closed) << "the child has opened its own only";
    return_gate(mine);
}

}  // namespace
