// SPDX-License-Identifier: MIT
// Reading an environment, and what descendants inherit of it. Passing it on: passed_environment_test.cpp.
#include "environment.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include "environment_case.hpp"

using namespace environment_case;

TEST(EnvironmentValue, FindsTheFirstOfThatNameAlone) {
    Env env{"AB=no", "A", "A=1", "A=2", "B="};
    EXPECT_STREQ(environment_value(env.get(), "A"), "1");
    EXPECT_STREQ(environment_value(env.get(), "B"), "");
    EXPECT_EQ(environment_value(env.get(), "C"), nullptr);
    EXPECT_EQ(environment_value(nullptr, "A"), nullptr);
}

TEST(Inheritance, RemembersItsOwnVariablesInMemoryOfItsOwn) {
    auto env = std::make_unique<Env>(List{"TASKWATCH_A=1", "TASKWATCH_A=2", "TASKWATCH_DISABLE=0",
                                          "TASKWATCH_SESSION=9:9", "TASKWATCH_NO_VALUE", "TASKWATCHFUL=no",
                                          "PATH=/bin"});
    Inheritance inheritance;
    ASSERT_EQ(inheritance.capture(env->get(), library), 0);
    env.reset();
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
    for (std::string path :
         {std::string("/with space/tw.so"), std::string("/a:b/tw.so"), "/" + std::string(254, 'x')}) {
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
        {"tw.so", "tw.so"},        {"/usr/$LIB/tw.so", "/usr/$LIB/tw.so"}, {"$ORIGIN/tw.so", "$ORIGIN/tw.so"},
        {"./tw.so", "/lib/tw.so"}, {"build/tw.so", "/lib/tw.so"},          {"/lib/tw.so", "/lib/tw.so"},
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
    EXPECT_EQ(parent.pass({}), (List{"LD_PRELOAD=/lib/tw.so", "TASKWATCH_WATCHERS=limit",
                                     "TASKWATCH_SESSION=5:6", "TASKWATCH_QUIET=1"}));
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
    for (const char *name :
         {"A0", "A1", "A2", "A3", "A4", "B0", "B1", "B2", "B3", "B4", "C0", "C1", "C2", "C3", "C4"})
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
                    EXPECT_EQ(
                        fresh.inheritance.set(("TASKWATCH_" + name + std::to_string(i)).c_str(), "value"), 0);
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
