// SPDX-License-Identifier: MIT
// Editing LD_PRELOAD: what comes out for what goes in, and that it is done once.
#include "preload_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "target.hpp"

using taskwatch::edit_preload;
using taskwatch::PreloadEdit;
using taskwatch::PreloadNames;
using taskwatch::PreloadResult;

namespace {

const PreloadNames plain = {.library = "/lib/tw.so"};

std::string edit(const std::string &value, PreloadEdit how, const std::string &first = "",
                 const PreloadNames &names = plain) {
    std::string out(value.size() + first.size() + 64, '#');
    PreloadResult measured = edit_preload(value, names, how, first, nullptr, 0);
    PreloadResult result = edit_preload(value, names, how, first, out.data(), measured.length);
    EXPECT_EQ(measured.length, result.length);
    EXPECT_EQ(out.find_first_not_of('#', result.length), std::string::npos) << "written beyond its measure";
    out.resize(result.length);
    EXPECT_EQ(result.same, out == value) << value << " -> " << out;
    return out;
}

std::string include(const std::string &value, const std::string &first = "") {
    return edit(value, PreloadEdit::include, first);
}
std::string exclude(const std::string &value) { return edit(value, PreloadEdit::exclude); }

}  // namespace

TEST(PreloadList, NamesUsInFrontOfForeignEntries) {
    EXPECT_EQ(include(""), "/lib/tw.so");
    EXPECT_EQ(include("a.so"), "/lib/tw.so:a.so");
    EXPECT_EQ(include("a.so b.so:c.so"), "/lib/tw.so:a.so b.so:c.so");
    EXPECT_EQ(include("::a.so:"), "/lib/tw.so::a.so:");
    EXPECT_EQ(include(" "), "/lib/tw.so ");
}

TEST(PreloadList, LeavesAListThatIsRightAlone) {
    for (const char *value : {"/lib/tw.so", "a.so:/lib/tw.so", "/lib/tw.so b.so", ":a.so::/lib/tw.so: b.so:",
                              "libasan.so.8:/lib/tw.so", "x.so libasan.so.8 /lib/tw.so"})
        EXPECT_EQ(include(value), value);
}

TEST(PreloadList, DoesNotTakeASimilarNameForUs) {
    EXPECT_EQ(include("/lib/tw.so.1"), "/lib/tw.so:/lib/tw.so.1");
    EXPECT_EQ(include("/other/tw.so"), "/lib/tw.so:/other/tw.so");
    EXPECT_EQ(include("x/lib/tw.so"), "/lib/tw.so:x/lib/tw.so");
    EXPECT_EQ(exclude("/lib/tw.so.1:tw.so"), "/lib/tw.so.1:tw.so");
}

TEST(PreloadList, TakesUsOutAndNothingElse) {
    EXPECT_EQ(exclude(""), "");
    EXPECT_EQ(exclude("/lib/tw.so"), "");
    EXPECT_EQ(exclude(":/lib/tw.so: "), "");
    EXPECT_EQ(exclude("/lib/tw.so:a.so"), "a.so");
    EXPECT_EQ(exclude("a.so:/lib/tw.so b.so"), "a.so b.so");
    EXPECT_EQ(exclude("a.so /lib/tw.so"), "a.so");
    EXPECT_EQ(exclude("/lib/tw.so a.so /lib/tw.so"), "a.so");
    EXPECT_EQ(exclude("libasan.so.8:/lib/tw.so"), "libasan.so.8");
    EXPECT_EQ(exclude("::a.so: b.so:"), "::a.so: b.so:");
    EXPECT_EQ(exclude(": :"), ": :");
}

TEST(PreloadList, NamesAnAsanRuntimeBeforeUsAndMarksIt) {
    EXPECT_EQ(include("", "libasan.so.8"), "libasan.so.8::/lib/tw.so");
    EXPECT_EQ(include("/lib/tw.so", "libasan.so.8"), "libasan.so.8::/lib/tw.so");
    EXPECT_EQ(include("/lib/tw.so:a.so", "libasan.so.8"), "libasan.so.8::/lib/tw.so:a.so");
    EXPECT_EQ(include("a.so:/lib/tw.so", "libasan.so.8"), "a.so:libasan.so.8::/lib/tw.so");
    EXPECT_EQ(include("a.so", "libasan.so.8"), "libasan.so.8::/lib/tw.so:a.so");
    EXPECT_EQ(include("libasan.so.8::/lib/tw.so", "libasan.so.6"), "libasan.so.6::/lib/tw.so");
}

TEST(PreloadList, TakesTheRuntimeItNamedOutAgainForTheNextProgram) {
    EXPECT_EQ(include("libasan.so.8::/lib/tw.so"), "/lib/tw.so");
    EXPECT_EQ(include("a.so:libasan.so.8::/lib/tw.so b.so"), "a.so:/lib/tw.so b.so");
    EXPECT_EQ(exclude("libasan.so.8::/lib/tw.so"), "");
    EXPECT_EQ(exclude("a.so:libasan.so.8::/lib/tw.so b.so"), "a.so b.so");
}

TEST(PreloadList, GoesBehindARuntimeThatTheUserNamedFirst) {
    EXPECT_EQ(include("libasan.so.8"), "libasan.so.8:/lib/tw.so");
    EXPECT_EQ(include("/usr/lib/gcc/12/libasan.so a.so"), "/usr/lib/gcc/12/libasan.so:/lib/tw.so a.so");
    EXPECT_EQ(include("/lib/tw.so:libasan.so.8"), "libasan.so.8:/lib/tw.so");
    EXPECT_EQ(include("libasan.so.8", "libasan.so.8"), "libasan.so.8:/lib/tw.so");
    EXPECT_EQ(include("libasan.so.8:/lib/tw.so", "libasan.so.8"), "libasan.so.8:/lib/tw.so");
    EXPECT_EQ(include("a.so:libasan.so.8"), "/lib/tw.so:a.so:libasan.so.8");  // not first without us either
    EXPECT_EQ(include("libtsan.so.2"), "/lib/tw.so:libtsan.so.2");
}

TEST(PreloadList, KeepsTheUsersSpellingWhereItMeansTheSameFileEverywhere) {
    const PreloadNames bare = {.library = "/lib/tw.so", .alias = "tw.so", .alias_is_right = true};
    EXPECT_EQ(edit("a.so:tw.so", PreloadEdit::include, "", bare), "a.so:tw.so");
    EXPECT_EQ(edit("/lib/tw.so", PreloadEdit::include, "", bare), "/lib/tw.so");
    EXPECT_EQ(edit("tw.so", PreloadEdit::include, "libasan.so.8", bare), "libasan.so.8::tw.so");
    EXPECT_EQ(edit("a.so:tw.so", PreloadEdit::exclude, "", bare), "a.so");
    const PreloadNames relative = {.library = "/lib/tw.so", .alias = "./tw.so", .alias_is_right = false};
    EXPECT_EQ(edit("a.so:./tw.so b.so", PreloadEdit::include, "", relative), "a.so:/lib/tw.so b.so");
    EXPECT_EQ(edit("a.so:./tw.so b.so", PreloadEdit::exclude, "", relative), "a.so b.so");
}

// Random lists: what ld.so would load is what the rules say, and a second edit changes nothing.
TEST(PreloadList, KeepsTheRulesForAnyList) {
    const char *seed_text = getenv("TASKWATCH_FUZZ_SEED");
    const unsigned seed = seed_text ? unsigned(std::atoi(seed_text)) : 20060602u;
    std::mt19937 random(seed);
    const std::string pieces[] = {
        "a.so", "/x/b.so", "/lib/tw.so", "tw.so", "libasan.so.8", "/y/libasan.so.6", ":", "::",
        " ",    ":",       ":",          " "};
    const PreloadNames names = {.library = "/lib/tw.so", .alias = "tw.so", .alias_is_right = true};
    auto loaded = [&](std::string list, bool with_us) {
        std::vector<std::string> entries;
        list += ':';
        for (size_t at; (at = list.find_first_of(": ")) != list.npos; list.erase(0, at + 1))
            if (at > 0 && (with_us || !names.is_us(list.substr(0, at))))
                entries.push_back(list.substr(0, at));
        return entries;
    };
    for (int round = 0; round < 5000; ++round) {
        std::string value;
        for (unsigned n = random() % 10; n; --n) value += pieces[random() % std::size(pieces)];
        const std::string first = random() % 3 ? "" : "libasan.so.8";
        SCOPED_TRACE("TASKWATCH_FUZZ_SEED=" + std::to_string(seed) + " '" + value + "' first '" + first +
                     "'");
        const std::string in = edit(value, PreloadEdit::include, first, names);
        const std::string out = edit(in, PreloadEdit::exclude, "", names);
        ASSERT_EQ(edit(in, PreloadEdit::include, first, names), in);
        ASSERT_EQ(edit(out, PreloadEdit::exclude, "", names), out);
        // What we add for this program is gone again with us.
        ASSERT_EQ(loaded(edit(value, PreloadEdit::exclude, "", names), true), loaded(out, true));
        ASSERT_EQ(loaded(out, true), loaded(out, false));
        const auto all = loaded(in, true), foreign = loaded(out, true);
        ASSERT_EQ(std::count_if(all.begin(), all.end(), [&](auto &e) { return names.is_us(e); }), 1);
        const bool user_has_one = !foreign.empty() && taskwatch::is_asan_runtime(foreign.front());
        if (user_has_one) {
            ASSERT_EQ(all.front(), foreign.front());
        }
        if (!user_has_one && !first.empty()) {
            auto us = std::find_if(all.begin(), all.end(), [&](auto &e) { return names.is_us(e); });
            ASSERT_NE(us, all.begin());
            ASSERT_EQ(us[-1], first);
        }
    }
}
