// SPDX-License-Identifier: MIT
// Lines of text without allocation.
#include "line.hpp"

#include <gtest/gtest.h>

#include <climits>
#include <string>

using taskwatch::Line;

namespace {

constexpr size_t capacity = 510;

template <typename... Parts>
std::string line(Parts... parts) {
    Line text;
    (text << ... << parts);
    return std::string(text.view());
}

}  // namespace

TEST(Line, JoinsTextAndNumbers) {
    EXPECT_EQ(line(""), "");
    EXPECT_EQ(line("pid ", 42, ": ", std::string_view("gone, but not cut", 4)), "pid 42: gone");
    EXPECT_EQ(line((const char *)nullptr), "(null)");
    EXPECT_EQ(line(std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Line, PrintsEveryNumberItsLimitsIncluded) {
    EXPECT_EQ(line(0), "0");
    EXPECT_EQ(line(-1), "-1");
    EXPECT_EQ(line(0u), "0");
    EXPECT_EQ(line(INT_MIN, " ", INT_MAX), "-2147483648 2147483647");
    EXPECT_EQ(line(LLONG_MIN, " ", LLONG_MAX), "-9223372036854775808 9223372036854775807");
    EXPECT_EQ(line(UINT_MAX, " ", ULONG_MAX, " ", ULLONG_MAX),
              "4294967295 18446744073709551615 18446744073709551615");
}

TEST(Line, HoldsItsCapacityAndCutsWithDotsBeyond) {
    const std::string full(capacity, 'x');
    EXPECT_EQ(line(full.c_str()), full);
    const std::string cut = full.substr(3) + "...";
    EXPECT_EQ(line(full.c_str(), "y"), cut);
    EXPECT_EQ(line(full.c_str(), 12345, "more", full.c_str()), cut);
    EXPECT_EQ(line(full.substr(1).c_str(), 17), full.substr(3) + "...");
}

TEST(Line, EndsWithANewlineOrANulAsAsked) {
    for (size_t length : {size_t{0}, size_t{1}, capacity, capacity + 50}) {
        Line text;
        text << std::string(length, 'x').c_str();
        const std::string without(text.view());
        EXPECT_EQ(text.with_newline(), without + "\n");
        EXPECT_EQ(std::string(text.c_str()), without);
        EXPECT_EQ(text.view(), without);
    }
}
