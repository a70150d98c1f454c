// SPDX-License-Identifier: MIT
// taskwatch_next_option(): how a watcher's options fall into keys and values. A comma both separates options
// and stands inside of values, so a piece without '=' goes on with the value before it.
#include <gtest/gtest.h>

#include <taskwatch/taskwatch.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Case {
    const char *name;
    const char *text;
    Pairs expected;
};

const Case cases[] = {
    {"Empty", "", {}},
    {"OnlyCommas", ",,,", {}},
    {"One", "a=1", {{"a", "1"}}},
    {"Two", "a=1,b=2", {{"a", "1"}, {"b", "2"}}},
    {"ValueWithCommas", "events=exec,exit", {{"events", "exec,exit"}}},
    {"ValueWithCommasBeforeAnother", "events=exec,exit,file=/x", {{"events", "exec,exit"}, {"file", "/x"}}},
    {"ValueWithCommasAfterAnother",
     "file=/x,events=exec,exit,uid",
     {{"file", "/x"}, {"events", "exec,exit,uid"}}},
    {"ValueWithEquals", "a=b=c", {{"a", "b=c"}}},
    {"ValueWithEqualsAfterAnother", "a=1,b=c=d", {{"a", "1"}, {"b", "c=d"}}},
    {"EmptyValue", "a=", {{"a", ""}}},
    {"EmptyValueBeforeAnother", "a=,b=2", {{"a", ""}, {"b", "2"}}},
    {"EmptyKey", "=1", {{"", "1"}}},
    {"KeyAlone", "quiet", {{"quiet", ""}}},
    {"KeyAloneBeforeAnother", "quiet,a=1", {{"quiet", ""}, {"a", "1"}}},
    {"KeysAlone", "a,b", {{"a", ""}, {"b", ""}}},
    {"LeadingCommas", ",,a=1", {{"a", "1"}}},
    // A trailing comma is an empty piece without '=': it belongs to the value, and a number then refuses it.
    {"TrailingComma", "a=1,", {{"a", "1,"}}},
    {"TrailingCommasBeforeAnother", "a=1,,b=2", {{"a", "1,"}, {"b", "2"}}},
    {"KeyAloneTrailingComma", "quiet,", {{"quiet", ""}}},
    {"SpacesAreKept", " a = 1 ", {{" a ", " 1 "}}},
};

class Options : public testing::TestWithParam<Case> {};

TEST_P(Options, AreSplit) {
    std::vector<char> text(GetParam().text, GetParam().text + strlen(GetParam().text) + 1);
    char *rest = text.data(), *value = nullptr;
    Pairs found;
    while (char *key = taskwatch_next_option(&rest, &value)) {
        found.emplace_back(key, value);
        ASSERT_LE(found.size(), 10u) << "does not end";
    }
    EXPECT_EQ(found, GetParam().expected);
    EXPECT_EQ(taskwatch_next_option(&rest, &value), nullptr) << "the end is the end";
}

INSTANTIATE_TEST_SUITE_P(Cases, Options, testing::ValuesIn(cases),
                         [](const auto &info) { return info.param.name; });

}  // namespace
