// SPDX-License-Identifier: MIT
// What descendants inherit, and the passed environment in which it is repaired. How LD_PRELOAD itself is
// edited: preload_list_test.cpp.
#include "environment.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace taskwatch;

namespace {

using List = std::vector<std::string>;

const char library[] = "/lib/tw.so";

// An environment, and its pointers.
class Env {
  public:
    Env(std::initializer_list<std::string> entries) : Env(List(entries)) {}
    explicit Env(List entries) : entries_(std::move(entries)) {
        for (std::string &entry : entries_) pointers_.push_back(entry.data());
        pointers_.push_back(nullptr);
    }
    Env(const Env &) = delete;
    char *const *get() const { return pointers_.data(); }
    const List &entries() const { return entries_; }

  private:
    List entries_;
    std::vector<char *> pointers_;
};

List list(char *const *envp) {
    List entries;
    for (; envp && *envp; ++envp) entries.push_back(*envp);
    return entries;
}

// One that was preloaded with one watcher, in session "1:2".
struct Parent {
    Parent() {
        Env env{"A=1", "LD_PRELOAD=/lib/tw.so", "TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=0:0",
                "TASKWATCH_DISABLE=0"};
        EXPECT_EQ(inheritance.capture(env.get(), library), 0);
        EXPECT_EQ(inheritance.set_session("1:2"), 0);
    }
    List pass(const Env &env, Repair repair = Repair::follow, const char *first = "") {
        const std::vector<char *> before(env.get(), env.get() + env.entries().size() + 1);
        errno = 4321;
        PassedEnvironment passed(env.get(), inheritance, repair, first);
        EXPECT_EQ(errno, 4321);
        EXPECT_TRUE(std::equal(before.begin(), before.end(), env.get())) << "the original was changed";
        EXPECT_EQ(passed.changed(), list(passed.get()) != env.entries()) << "copied without need, or not said";
        return list(passed.get());
    }
    Inheritance inheritance;
};

}  // namespace

TEST(EnvironmentValue, FindsTheFirstOfThatNameAlone) {
    Env env{"AB=no", "A", "A=1", "A=2", "B="};
    EXPECT_STREQ(environment_value(env.get(), "A"), "1");
    EXPECT_STREQ(environment_value(env.get(), "B"), "");
    EXPECT_EQ(environment_value(env.get(), "C"), nullptr);
    EXPECT_EQ(environment_value(nullptr, "A"), nullptr);
}

TEST(Inheritance, RemembersItsOwnVariablesInMemoryOfItsOwn) {
    auto env = std::make_unique<Env>(List{"TASKWATCH_A=1", "TASKWATCH_A=2", "TASKWATCH_DISABLE=0", "TASKWATCH_SESSION=9:9",
                                          "TASKWATCH_NO_VALUE", "TASKWATCHFUL=no", "PATH=/bin"});
    Inheritance inheritance;
    std::string path = library;
    ASSERT_EQ(inheritance.capture(env->get(), path.c_str()), 0);
    env.reset();
    path = "overwritten";
    EXPECT_STREQ(inheritance.library(), library);
    PassedEnvironment passed(nullptr, inheritance, Repair::follow, "");
    EXPECT_EQ(list(passed.get()), (List{"LD_PRELOAD=/lib/tw.so", "TASKWATCH_A=1"}));
}

TEST(Inheritance, RepairsNothingForALibraryThatWasLinked) {
    Env env{"TASKWATCH_WATCHERS=trace"};
    Inheritance inheritance;
    ASSERT_EQ(inheritance.capture(env.get(), nullptr), 0);
    EXPECT_EQ(inheritance.library(), nullptr);
    for (Repair repair : {Repair::follow, Repair::leave, Repair::take_out}) {
        Env passed_env{"TASKWATCH_SESSION=3:4", "LD_PRELOAD=/lib/tw.so"};
        PassedEnvironment passed(passed_env.get(), inheritance, repair, "");
        EXPECT_FALSE(passed.changed());
    }
}

TEST(Inheritance, RefusesAPathThatLdSoCannotBeTold) {
    for (std::string path : {std::string("/with space/tw.so"), std::string("/a:b/tw.so"), "/" + std::string(254, 'x')}) {
        Inheritance inheritance;
        EXPECT_EQ(inheritance.capture(Env{}.get(), path.c_str()), EINVAL) << path;
        EXPECT_EQ(inheritance.library(), nullptr);
    }
    Inheritance inheritance;
    EXPECT_EQ(inheritance.capture(Env{}.get(), ("/" + std::string(253, 'x')).c_str()), 0);
}

TEST(Inheritance, KnowsUsByWhatTheUserWrote) {
    const struct {
        const char *written, *kept;
    } cases[] = {
        {"tw.so", "tw.so"},
        {"/usr/$LIB/tw.so", "/usr/$LIB/tw.so"},
        {"$ORIGIN/tw.so", "$ORIGIN/tw.so"},
        {"./tw.so", "/lib/tw.so"},
        {"build/tw.so", "/lib/tw.so"},
        {"/lib/tw.so", "/lib/tw.so"},
    };
    for (const auto &c : cases) {
        Env env{"LD_PRELOAD=a.so", std::string("LD_PRELOAD=b.so ") + c.written};
        Inheritance inheritance;
        ASSERT_EQ(inheritance.capture(env.get(), library), 0);
        PassedEnvironment passed(env.get(), inheritance, Repair::follow, "");
        EXPECT_EQ(list(passed.get()), (List{"LD_PRELOAD=a.so", std::string("LD_PRELOAD=b.so ") + c.kept}));
        PassedEnvironment out(env.get(), inheritance, Repair::leave, "");
        EXPECT_EQ(list(out.get()), (List{"LD_PRELOAD=a.so", "LD_PRELOAD=b.so"}));
    }
}

TEST(Inheritance, SetsAndReplacesOneVariable) {
    Parent parent;
    EXPECT_EQ(parent.inheritance.set("TASKWATCH_QUIET", "1"), 0);
    EXPECT_EQ(parent.inheritance.set("TASKWATCH_WATCHERS", "limit"), 0);
    EXPECT_EQ(parent.inheritance.set_session("5:6"), 0);
    EXPECT_EQ(parent.pass({}), (List{"LD_PRELOAD=/lib/tw.so", "TASKWATCH_WATCHERS=limit", "TASKWATCH_SESSION=5:6",
                                     "TASKWATCH_QUIET=1"}));
}

TEST(Inheritance, TakesLongValuesAndSaysWhenItIsFull) {
    Parent parent;
    const std::string value(100000, 'x');
    EXPECT_EQ(parent.inheritance.set("TASKWATCH_LONG", value.c_str()), 0);
    EXPECT_EQ(parent.pass({}).back(), "TASKWATCH_LONG=" + value);
    int error = 0;
    for (size_t i = 0; i <= Inheritance::max_variables && !error; ++i)
        error = parent.inheritance.set(("TASKWATCH_" + std::to_string(i)).c_str(), "x");
    EXPECT_EQ(error, ENOMEM);
    EXPECT_EQ(parent.pass({}).size(), Inheritance::max_variables + 1);
}

TEST(Inheritance, LosesAndDoublesNothingThatThreadsSetAtOnce) {
    Parent parent;
    List expected = parent.pass({});
    for (const char *name : {"A0", "A1", "A2", "A3", "A4", "B0", "B1", "B2", "B3", "B4", "C0", "C1", "C2", "C3", "C4"})
        expected.push_back("TASKWATCH_" + std::string(name) + "=value");
    std::sort(expected.begin(), expected.end());
    for (int round = 0; round < 200; ++round) {
        Parent fresh;
        std::atomic<int> ready{0}, done{0};
        auto set_all = [&](std::string first, std::string second) {
            for (++ready; ready < 2;) {
            }
            for (int i = 0; i < 5; ++i)
                for (const std::string &name : {first, second})
                    EXPECT_EQ(fresh.inheritance.set(("TASKWATCH_" + name + std::to_string(i)).c_str(), "value"), 0);
            ++done;
        };
        std::thread one(set_all, "A", "C"), two(set_all, "B", "C");
        while (done < 2)  // a reader meanwhile sees whole variables
            for (const std::string &entry : fresh.pass({}))
                ASSERT_TRUE(std::binary_search(expected.begin(), expected.end(), entry)) << entry;
        one.join();
        two.join();
        List entries = fresh.pass({});
        std::sort(entries.begin(), entries.end());
        ASSERT_EQ(entries, expected);
    }
}

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
    EXPECT_EQ(parent.pass({"A=1", "LD_PRELOAD=x.so"}),
              (List{"A=1", "LD_PRELOAD=/lib/tw.so:x.so", "TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"}));
}

TEST(PassedEnvironment, LetsTheProgramsVariablesWinButNotItsSession) {
    Parent parent;
    EXPECT_EQ(parent.pass({"TASKWATCH_WATCHERS=", "TASKWATCH_SESSION=7:7", "TASKWATCH_MORE=1", "LD_PRELOAD=/lib/tw.so"}),
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
    EXPECT_EQ(parent.pass({"LD_PRELOAD=/lib/tw.so", "TASKWATCH_SESSION=7:7"}, Repair::leave), (List{"TASKWATCH_SESSION=7:7"}));
    EXPECT_EQ(parent.pass({"LD_PRELOAD=x.so:/lib/tw.so"}, Repair::leave), (List{"LD_PRELOAD=x.so"}));
    EXPECT_EQ(parent.pass({"A=1", "LD_PRELOAD= "}, Repair::leave), (List{"A=1", "LD_PRELOAD= "}));
    EXPECT_EQ(parent.pass({}, Repair::leave), List{});
}

TEST(PassedEnvironment, TakesUsAndTheSessionOut) {
    Parent parent;
    EXPECT_EQ(parent.pass({"TASKWATCH_SESSION=1:2", "LD_PRELOAD=/lib/tw.so x.so", "TASKWATCH_FOLLOW=0"}, Repair::take_out),
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
    EXPECT_EQ(parent.pass(Env(with), Repair::leave), (List{"TASKWATCH_WATCHERS=trace", "TASKWATCH_SESSION=1:2"}));
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
        "LD_PRELOAD=", "LD_PRELOAD=/lib/tw.so", "LD_PRELOAD=x.so /lib/tw.so", "LD_PRELOAD=libasan.so.8::/lib/tw.so",
        "LD_PRELOAD=x.so", "LD_PRELOAD", "LD_PRELOADED=1", "TASKWATCH_SESSION=1:2", "TASKWATCH_SESSION=8:8",
        "TASKWATCH_SESSION", "TASKWATCH_WATCHERS=", "TASKWATCH_WATCHERS=limit", "TASKWATCH_OTHER=1", "TASKWATCH_",
        "TASKWATCH_DISABLE=0", "", "=", "A=1", "L", "T=", std::string("\xff=\x80"), "B=" + std::string(200, 'b'),
    };
    auto is_ours = [](const std::string &entry) {
        return entry.starts_with("LD_PRELOAD=") || entry.starts_with("TASKWATCH_SESSION=");
    };
    for (int round = 0; round < 3000; ++round) {
        List entries;
        for (unsigned n = random() % (random() % 8 ? 12 : 300); n; --n) entries.push_back(pieces[random() % std::size(pieces)]);
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

        const auto last = std::find_if(result.rbegin(), result.rend(), [](auto &e) { return e.starts_with("LD_PRELOAD="); });
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
