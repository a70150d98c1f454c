// SPDX-License-Identifier: MIT
// What a session has missed: counted by name, taken back, put into one line; from memory that anybody can write to.
#include "missed.hpp"

#include <cstring>

#include "ledger_case.hpp"

using namespace taskwatch;

class MissedTest : public WithSession {
  protected:
    Missed missed{member.session.memory};

    std::string line(uint64_t lost = 0) {
        Line text;
        return missed.describe(lost, text) ? std::string(text.view()) : "";
    }
    layout::MissedList &memory() { return member.session.memory.header()->missed; }
};

TEST_F(MissedTest, SaysNothingIfThereWasNothing) {
    EXPECT_EQ(line(), "");
    EXPECT_FALSE(missed.line_is_wanted());
    missed.want_line();
    EXPECT_TRUE(missed.line_is_wanted());
    EXPECT_EQ(line(), "");
}

TEST_F(MissedTest, CountsByTheLastPartOfThePath) {
    missed.add_program(1, "/usr/bin/sudo");
    EXPECT_EQ(line(), "taskwatch: 1 program could not be watched (sudo)");
    missed.add_program(2, "busybox");
    missed.add_program(3, "./hello");
    missed.add_program(4, "/bin/busybox");
    EXPECT_EQ(line(12), "taskwatch: 4 programs could not be watched (sudo, busybox x2, hello); 12 lines lost");
    EXPECT_EQ(line(), "taskwatch: 4 programs could not be watched (sudo, busybox x2, hello)");
}

TEST_F(MissedTest, CountsLostLinesAlone) {
    EXPECT_EQ(line(1), "taskwatch: 1 line lost");
    EXPECT_EQ(line(2), "taskwatch: 2 lines lost");
}

TEST_F(MissedTest, NamesEightAndCountsTheRest) {
    for (const char *name : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "i", "h"}) missed.add_program(1, name);
    EXPECT_EQ(line(), "taskwatch: 12 programs could not be watched (a, b, c, d, e, f, g, h x2 and 3 more)");
}

TEST_F(MissedTest, CutsALongNameAndPrintsNoControlByte) {
    missed.add_program(1, "/tmp/a-name-that-is-longer-than-what-is-kept-of-it");
    missed.add_program(1, "/tmp/\x1b[2J\n\x9b");
    missed.add_program(1, "folder/");
    EXPECT_EQ(line(), "taskwatch: 3 programs could not be watched (a-name-that-is-longer-than-w..., ?[2J??, folder/)");
}

TEST_F(MissedTest, TakesBackWhatWasNotExecuted) {
    const uint32_t added = missed.add_program(1, "sudo");
    missed.add_program(2, "sudo");
    missed.take_back(added);
    EXPECT_EQ(line(), "taskwatch: 1 program could not be watched (sudo)");
    missed.take_back(added);
    EXPECT_EQ(line(), "");
    missed.take_back(added);
    EXPECT_EQ(line(), "");
}

TEST_F(MissedTest, TakesBackWhatIsWatchedAfterAll) {
    missed.add_program(7, "first");
    missed.add_program(8, "second");
    missed.take_back_of(9);
    missed.take_back_of(0);
    missed.take_back_of(7);
    missed.take_back_of(7);
    EXPECT_EQ(line(), "taskwatch: 1 program could not be watched (second)");
}

TEST_F(MissedTest, RemembersTheNewestForecasts) {
    for (uint64_t id = 1; id <= 20; id++) missed.add_program(id, "x");
    missed.take_back_of(4);  // four are forgotten
    missed.take_back_of(5);
    EXPECT_EQ(line(), "taskwatch: 19 programs could not be watched (x x19)");
}

TEST_F(MissedTest, IsOneListForAllOfASession) {
    auto other = another();
    Missed theirs{other->session.memory};
    missed.add_program(1, "a");
    theirs.add_program(2, "a");
    theirs.take_back_of(1);
    EXPECT_EQ(line(), "taskwatch: 1 program could not be watched (a)");
}

TEST_F(MissedTest, WaitsForNobodyWhoIsWriting) {
    memory().name[0].state = 1;  // and is killed
    missed.add_program(1, "a");
    missed.add_program(1, "a");
    EXPECT_EQ(line(), "taskwatch: 2 programs could not be watched (a x2)");
}

TEST_F(MissedTest, SurvivesWhatOthersWrite) {
    for (auto &name : memory().name) {
        name.state = 2;
        memset(name.text, 0x1b, sizeof name.text);
    }
    for (auto &count : memory().count) count = UINT32_MAX;
    for (auto &forecast : memory().forecast) {
        forecast.task = 5;
        forecast.place = UINT32_MAX;
    }
    memory().forecasts = UINT32_MAX;
    missed.take_back_of(5);
    missed.take_back(UINT32_MAX);
    missed.add_program(5, "a");
    const std::string text = line(UINT64_MAX);
    EXPECT_LE(text.size(), 510u);
    for (char c : text) EXPECT_TRUE(c >= ' ' && c <= '~');
}

TEST(MissedAlone, DoesNothingWithoutMemory) {
    Segment none;
    Missed missed{none};
    missed.want_line();
    missed.take_back(missed.add_program(1, "a"));
    missed.take_back_of(1);
    missed.write_line();
    Line text;
    EXPECT_FALSE(missed.line_is_wanted());
    EXPECT_FALSE(missed.describe(0, text));
}
