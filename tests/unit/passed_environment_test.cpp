// SPDX-License-Identifier: MIT
// The environment that is passed on, and the copy in which it is repaired. How LD_PRELOAD itself is edited:
// preload_list_test.cpp.
#include <sys/mman.h>

#include <array>
#include <cstdlib>
#include <iterator>
#include <random>

#include "environment_case.hpp"

using namespace environment_case;

TEST(PassedEnvironment, CopiesNothingWhenAllIsRight) {
    Parent parent;
    Env env{"LD_PRELOAD=x.so:/lib/tw.so y.so", "A=1", "TASKWATCH_SESSION=1:2", "TASKWATCH_WATCHERS=other"};
    PassedEnvironment passed(env.get(), parent.inheritance, Repair::follow, "");
    EXPECT_EQ(passed.get(), env.get());
}

TEST(PassedEnvironment, PutsBackWhatAProgramClearedOrRebuilt) {
    Parent parent;
    const List own = {"LD_PRELOAD=/lib/tw.so", "TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"};
    EXPECT_EQ(parent.pass({}), own);
    PassedEnvironment null(nullptr, parent.inheritance, Repair::follow, "");
    EXPECT_EQ(list(null.get()), own);
    EXPECT_EQ(
        parent.pass({"A=1", "LD_PRELOAD=x.so"}),
        (List{"A=1", "LD_PRELOAD=/lib/tw.so:x.so", "TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"}));
}

TEST(PassedEnvironment, LetsTheProgramsVariablesWinButNotItsSession) {
    Parent parent;
    EXPECT_EQ(
        parent.pass(
            {"TASKWATCH_WATCHERS=", "TASKWATCH_SESSION=7:7", "TASKWATCH_MORE=1", "LD_PRELOAD=/lib/tw.so"}),
        (List{"TASKWATCH_WATCHERS=", "TASKWATCH_SESSION=1:2", "TASKWATCH_MORE=1", "LD_PRELOAD=/lib/tw.so"}));
}

TEST(PassedEnvironment, RepairsTheLdPreloadThatLdSoObeys) {
    Parent parent;
    const List rest = {"TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"};
    EXPECT_EQ(parent.pass({rest[0], rest[1], "LD_PRELOAD=/lib/tw.so", "LD_PRELOAD="}),
              (List{rest[0], rest[1], "LD_PRELOAD=/lib/tw.so", "LD_PRELOAD=/lib/tw.so"}));
    EXPECT_EQ(parent.pass({rest[0], rest[1], "LD_PRELOAD=x.so", "LD_PRELOAD=y.so"}),
              (List{rest[0], rest[1], "LD_PRELOAD=x.so", "LD_PRELOAD=/lib/tw.so:y.so"}));
    // Taken out everywhere; an emptied last one must not make an earlier one count.
    EXPECT_EQ(parent.pass({"LD_PRELOAD=x.so:/lib/tw.so", "LD_PRELOAD=/lib/tw.so"}, Repair::leave),
              (List{"LD_PRELOAD=x.so", "LD_PRELOAD="}));
}

TEST(PassedEnvironment, LeavesWithoutTouchingTheOtherVariables) {
    Parent parent;
    EXPECT_EQ(parent.pass({"LD_PRELOAD=/lib/tw.so", "TASKWATCH_SESSION=7:7"}, Repair::leave),
              (List{"TASKWATCH_SESSION=7:7"}));
    EXPECT_EQ(parent.pass({"LD_PRELOAD=x.so:/lib/tw.so"}, Repair::leave), (List{"LD_PRELOAD=x.so"}));
    EXPECT_EQ(parent.pass({"A=1", "LD_PRELOAD= "}, Repair::leave), (List{"A=1", "LD_PRELOAD= "}));
    EXPECT_EQ(parent.pass({}, Repair::leave), List{});
}

TEST(PassedEnvironment, TakesUsAndTheSessionOut) {
    Parent parent;
    EXPECT_EQ(parent.pass({"TASKWATCH_SESSION=1:2", "LD_PRELOAD=/lib/tw.so x.so", "TASKWATCH_FOLLOW=0"},
                          Repair::take_out),
              (List{"LD_PRELOAD=x.so", "TASKWATCH_FOLLOW=0"}));
}

TEST(PassedEnvironment, DoesNothingForADescendantThatIsDisabled) {
    Parent parent;
    for (Repair repair : {Repair::follow, Repair::leave, Repair::take_out}) {
        EXPECT_EQ(parent.pass({"TASKWATCH_DISABLE=1", "LD_PRELOAD=/lib/tw.so"}, repair),
                  (List{"TASKWATCH_DISABLE=1", "LD_PRELOAD=/lib/tw.so"}));
        EXPECT_EQ(parent.pass({"TASKWATCH_DISABLE=1"}, repair), (List{"TASKWATCH_DISABLE=1"}));
    }
    EXPECT_EQ(parent.pass({"TASKWATCH_DISABLE=0"}).size(), 4u);
    EXPECT_EQ(parent.pass({"TASKWATCH_DISABLE="}).size(), 4u);
}

TEST(PassedEnvironment, NamesAnAsanRuntimeForOneProgramOnly) {
    Parent parent;
    const List with = parent.pass({}, Repair::follow, "libasan.so.8");
    EXPECT_EQ(with[0], "LD_PRELOAD=libasan.so.8::/lib/tw.so");
    EXPECT_EQ(parent.pass(Env(with), Repair::follow, "libasan.so.8"), with);
    EXPECT_EQ(parent.pass(Env(with))[0], "LD_PRELOAD=/lib/tw.so");
    EXPECT_EQ(parent.pass(Env(with), Repair::leave),
              (List{"TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"}));
}

TEST(PassedEnvironment, MapsALargeEnvironmentAndUnmapsIt) {
    Parent parent;
    List many;
    for (int i = 0; i < 5000; ++i) many.push_back("V" + std::to_string(i) + "=x");
    List expected = many;
    for (const std::string &own : parent.pass({})) expected.push_back(own);
    EXPECT_EQ(parent.pass(Env(many)), expected);
    Env env(many);
    void *mapping = nullptr;
    {
        PassedEnvironment passed(env.get(), parent.inheritance, Repair::follow, "");
        mapping = passed.mapping();
        ASSERT_NE(mapping, nullptr);
        EXPECT_GE(passed.mapped(), 5000 * sizeof(char *));
        EXPECT_EQ(msync(mapping, 1, MS_ASYNC), 0);
    }
    EXPECT_EQ(msync(mapping, 1, MS_ASYNC), -1) << "still mapped";
    Env small{"A=1"};
    EXPECT_EQ(PassedEnvironment(small.get(), parent.inheritance, Repair::follow, "").mapping(), nullptr);
}

TEST(PassedEnvironment, MapsNothingWhileASandboxIsInherited) {
    Parent parent;
    ASSERT_EQ(parent.inheritance.set("TASKWATCH_QUIET", "1"), 0);
    EXPECT_EQ(parent.pass({"A=1"}).size(), 5u);
    EXPECT_EQ(parent.pass(Env(List(5000, "A=1"))).size(), 5000u);
    ASSERT_EQ(parent.inheritance.set("TASKWATCH_QUIET", "0"), 0);
    EXPECT_EQ(parent.pass(Env(List(5000, "A=1"))).size(), 5004u);
}

// Any environment: what is not ours keeps its value and its order, ours is as the rules say, and a second
// repair has nothing to do.
TEST(PassedEnvironment, KeepsTheRulesForAnyEnvironment) {
    const char *seed_text = getenv("TASKWATCH_FUZZ_SEED");
    const unsigned seed = seed_text ? unsigned(std::atoi(seed_text)) : 20060603u;
    std::mt19937 random(seed);
    Parent parent;
    const std::string pieces[] = {
        "LD_PRELOAD=",
        "LD_PRELOAD=/lib/tw.so",
        "LD_PRELOAD=x.so /lib/tw.so",
        "LD_PRELOAD=libasan.so.8::/lib/tw.so",
        "LD_PRELOAD=x.so",
        "LD_PRELOAD",
        "LD_PRELOADED=1",
        "TASKWATCH_SESSION=1:2",
        "TASKWATCH_SESSION=8:8",
        "TASKWATCH_SESSION",
        "TASKWATCH_WATCHERS=",
        "TASKWATCH_WATCHERS=limit",
        "TASKWATCH_OTHER=1",
        "TASKWATCH_",
        "TASKWATCH_DISABLE=0",
        "",
        "=",
        "A=1",
        "L",
        "T=",
        std::string("\xff=\x80"),
        "B=" + std::string(200, 'b'),
    };
    auto is_ours = [](const std::string &entry) {
        return entry.starts_with("LD_PRELOAD=") || entry.starts_with("TASKWATCH_SESSION=");
    };
    for (int round = 0; round < 3000; ++round) {
        List entries;
        for (unsigned n = random() % (random() % 8 ? 12 : 300); n; --n)
            entries.push_back(pieces[random() % std::size(pieces)]);
        const Repair repair = std::array{Repair::follow, Repair::leave, Repair::take_out}[random() % 3];
        const char *first = random() % 3 ? "" : "libasan.so.8";
        SCOPED_TRACE("TASKWATCH_FUZZ_SEED=" + std::to_string(seed) + " round " + std::to_string(round));
        const List result = parent.pass(Env(entries), repair, first);
        ASSERT_EQ(parent.pass(Env(result), repair, first), result) << "not idempotent";

        List foreign, kept;
        std::remove_copy_if(entries.begin(), entries.end(), std::back_inserter(foreign), is_ours);
        std::remove_copy_if(result.begin(), result.end(), std::back_inserter(kept), is_ours);
        const bool has_watchers = std::any_of(entries.begin(), entries.end(),
                                              [](auto &e) { return e.starts_with("TASKWATCH_WATCHERS="); });
        if (repair == Repair::follow && !has_watchers) foreign.push_back("TASKWATCH_WATCHERS=trace");
        ASSERT_EQ(kept, foreign);

        const auto last = std::find_if(result.rbegin(), result.rend(),
                                       [](auto &e) { return e.starts_with("LD_PRELOAD="); });
        const bool named = last != result.rend() && last->find("/lib/tw.so") != last->npos;
        ASSERT_EQ(named, repair == Repair::follow);
        if (named) {
            ASSERT_EQ(last->find("libasan.so.8::/lib/tw.so") != last->npos, *first != '\0');
        }
        for (const std::string &entry : result)
            if (entry.starts_with("TASKWATCH_SESSION=") && repair != Repair::leave) {
                ASSERT_EQ(repair, Repair::follow);
                ASSERT_EQ(entry, "TASKWATCH_SESSION=1:2");
            }
    }
}
