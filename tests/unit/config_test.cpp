// SPDX-License-Identifier: MIT
// The variables and what they say, and the names of watchers' variables.
#include "config.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

using namespace taskwatch;

namespace {

template <typename... Entries>
Config read(Entries... entries) {
    char *envp[] = {const_cast<char *>(entries)..., nullptr};
    return read_config(envp, false);
}

std::string variable(const char *watcher) {
    char name[64];
    int error = option_variable(watcher, name);
    return error ? "error " + std::to_string(error) : name;
}

const std::string invalid = "error " + std::to_string(EINVAL),
                  too_long = "error " + std::to_string(ENAMETOOLONG);

}  // namespace

TEST(Config, HasDefaultsForAnEmptyEnvironment) {
    for (const Config &config :
         {read_config(nullptr, false), read(), read("A=1", "TASKWATCH_", "TASKWATCH_DISABLED=1")}) {
        EXPECT_FALSE(config.disabled);
        EXPECT_TRUE(config.follow);
        EXPECT_FALSE(config.strict);
        EXPECT_FALSE(config.quiet);
        EXPECT_EQ(config.watchers, nullptr);
        EXPECT_EQ(config.path, nullptr);
        EXPECT_EQ(config.session, nullptr);
    }
}

TEST(Config, ReadsEachVariable) {
    Config config = read("TASKWATCH_FOLLOW=0", "TASKWATCH_STRICT=1", "TASKWATCH_QUIET=1",
                         "TASKWATCH_WATCHERS=trace:limit:/path/mine.so", "TASKWATCH_PATH=/a:/b",
                         "TASKWATCH_SESSION=12:34");
    EXPECT_FALSE(config.disabled);
    EXPECT_FALSE(config.follow);
    EXPECT_TRUE(config.strict);
    EXPECT_TRUE(config.quiet);
    EXPECT_STREQ(config.watchers, "trace:limit:/path/mine.so");
    EXPECT_STREQ(config.path, "/a:/b");
    EXPECT_STREQ(config.session, "12:34");
}

TEST(Config, TakesAnythingButZeroAndNothingForOn) {
    for (const char *on :
         {"TASKWATCH_DISABLE=1", "TASKWATCH_DISABLE=yes", "TASKWATCH_DISABLE=00", "TASKWATCH_DISABLE= "})
        EXPECT_TRUE(read(on).disabled) << on;
    for (const char *off : {"TASKWATCH_DISABLE=0", "TASKWATCH_DISABLE="})
        EXPECT_FALSE(read(off).disabled) << off;
    EXPECT_TRUE(read("TASKWATCH_FOLLOW=").follow);
    EXPECT_TRUE(read("TASKWATCH_FOLLOW=1").follow);
    EXPECT_FALSE(read("TASKWATCH_FOLLOW=0").follow);
    EXPECT_FALSE(read("TASKWATCH_STRICT=").strict);
    EXPECT_FALSE(read("TASKWATCH_STRICT=0").strict);
}

TEST(Config, TakesTheFirstOfSeveralAndNothingForUnset) {
    EXPECT_STREQ(read("TASKWATCH_WATCHERS=a", "TASKWATCH_WATCHERS=b").watchers, "a");
    EXPECT_EQ(read("TASKWATCH_WATCHERS=").watchers, nullptr);
    EXPECT_EQ(read("TASKWATCH_SESSION=").session, nullptr);
}

TEST(Config, ReadsNothingElseWhenItIsDisabled) {
    Config config =
        read("TASKWATCH_STRICT=1", "TASKWATCH_WATCHERS=trace", "TASKWATCH_FOLLOW=0", "TASKWATCH_DISABLE=1");
    EXPECT_TRUE(config.disabled);
    EXPECT_FALSE(config.strict);
    EXPECT_TRUE(config.follow);
    EXPECT_EQ(config.watchers, nullptr);
}

TEST(Config, ReadsNothingInSecureExecutionMode) {
    // A vector that must not be looked at: it does not end.
    char entry[] = "TASKWATCH_DISABLE=0";
    char *endless[] = {entry, reinterpret_cast<char *>(1)};
    Config config = read_config(endless, true);
    EXPECT_TRUE(config.disabled);
    EXPECT_EQ(config.watchers, nullptr);
}

TEST(OptionVariable, NamesAWatchersVariable) {
    EXPECT_EQ(variable("trace"), "TASKWATCH_TRACE");
    EXPECT_EQ(variable("/path/mine.so"), "TASKWATCH_MINE");
    EXPECT_EQ(variable("./my-own.v2.so"), "TASKWATCH_MY_OWN_V2");
    EXPECT_EQ(variable("a/b.so/Count3r"), "TASKWATCH_COUNT3R");
    EXPECT_EQ(variable("gr\xc3\xbc\xc3\x9f"), "TASKWATCH_GR____");
    EXPECT_EQ(variable("x.so.so"), "TASKWATCH_X_SO");
    EXPECT_EQ(variable("paths"), "TASKWATCH_PATHS");
}

TEST(OptionVariable, RefusesTheLibrarysOwnNamesInAnySpelling) {
    for (const char *name : {"disable", "FOLLOW", "strict.so", "/x/quiet.so", "Watchers", "path", "session",
                             "library", "tests_must_run", "tests-must-run"})
        EXPECT_EQ(variable(name), invalid) << name;
}

TEST(OptionVariable, RefusesNoNameAndTooLongAName) {
    EXPECT_EQ(variable(""), invalid);
    EXPECT_EQ(variable("/folder/"), invalid);
    EXPECT_EQ(variable(".so"), invalid);
    EXPECT_EQ(variable(std::string(53, 'a').c_str()), "TASKWATCH_" + std::string(53, 'A'));
    EXPECT_EQ(variable(std::string(54, 'a').c_str()), too_long);
    EXPECT_EQ(variable((std::string(53, 'a') + ".so").c_str()), "TASKWATCH_" + std::string(53, 'A'));
}
