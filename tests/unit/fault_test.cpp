// SPDX-License-Identifier: MIT
// The fault watcher: which candidates a rule selects, what they fail with, which rules are refused.
#include <unistd.h>

#include <set>

#include "watcher_host.hpp"

namespace {

class Fault : public testing::Test {
  protected:
    void SetUp() override { reset_host(); }

    static int tell(Watcher &watcher, unsigned long action, const char *call = "fork", uint32_t context = 0) {
        task_watch task = make_creation(get_watch_event(action), call);
        task.context = context;
        return watcher.notify(action, task);
    }
    // The numbers of the candidates, of 1 .. count, that fail.
    static std::string selected(const std::string &options, int count) {
        reset_host();
        Watcher watcher("fault");
        EXPECT_EQ(watcher.init(options), "") << options;
        std::string numbers;
        for (int number = 1; number <= count; number++)
            if (tell(watcher, WATCH_TASK_INIT) != NOTIFY_DONE)
                numbers += (numbers.empty() ? "" : " ") + std::to_string(number);
        return numbers;
    }
    static std::string refusal(const std::string &options) { return Watcher("fault").init(options); }
};

TEST_F(Fault, SelectsTheCandidatesThatStraceWould) {
    EXPECT_EQ(selected("on=init", 4), "1 2 3 4");
    EXPECT_EQ(selected("on=init,when=3", 6), "3");
    EXPECT_EQ(selected("on=init,when=3+", 6), "3 4 5 6");
    EXPECT_EQ(selected("on=init,when=3..", 6), "3 4 5 6");
    EXPECT_EQ(selected("on=init,when=2..4", 6), "2 3 4");
    EXPECT_EQ(selected("on=init,when=2+3", 12), "2 5 8 11");
    EXPECT_EQ(selected("on=init,when=2..9+3", 12), "2 5 8");
    EXPECT_EQ(selected("on=init,when=2..4+", 6), "2 3 4");
    EXPECT_EQ(selected("on=init,when=2..2", 6), "2");
}

TEST_F(Fault, FailsEachEventWithItsUsualErrorOrTheOneAskedFor) {
    Watcher usual("fault"), named("fault"), numbered("fault");
    ASSERT_EQ(usual.init("on=init,clone,exec,uid,gid"), "");
    ASSERT_EQ(named.init("on=init,exec,error=ENOMEM"), "");
    ASSERT_EQ(numbered.init("on=init,error=133"), "");
    EXPECT_EQ(tell(usual, WATCH_TASK_INIT), notifier_from_errno(-EAGAIN));
    EXPECT_EQ(tell(usual, WATCH_TASK_CLONE), notifier_from_errno(-EAGAIN));
    EXPECT_EQ(tell(usual, WATCH_TASK_EXEC | WATCH_BEFORE), notifier_from_errno(-EACCES));
    EXPECT_EQ(tell(usual, WATCH_TASK_UID | WATCH_BEFORE), notifier_from_errno(-EPERM));
    EXPECT_EQ(tell(usual, WATCH_TASK_GID | WATCH_BEFORE), notifier_from_errno(-EPERM));
    EXPECT_EQ(tell(named, WATCH_TASK_INIT), notifier_from_errno(-ENOMEM));
    EXPECT_EQ(tell(named, WATCH_TASK_EXEC | WATCH_BEFORE), notifier_from_errno(-ENOMEM));
    EXPECT_EQ(tell(numbered, WATCH_TASK_INIT), notifier_from_errno(-133));
}

TEST_F(Fault, NeitherStopsNorCountsWhatCannotBeMadeToFail) {
    Watcher watcher("fault");
    ASSERT_EQ(watcher.init("on=clone,exec,uid,when=1"), "");
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXEC), NOTIFY_DONE) << "it is done already";
    EXPECT_EQ(tell(watcher, WATCH_TASK_UID | WATCH_UNCHANGED), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXEC | WATCH_FAILED), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE, "execve", TASKWATCH_FORECAST), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_CLONE, "fork", TASKWATCH_NOT_HELD), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT), NOTIFY_DONE) << "not asked for";
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXIT), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_FREE), NOTIFY_DONE);
    EXPECT_NE(tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE), NOTIFY_DONE) << "this is the first candidate";
}

TEST_F(Fault, RestrictsARuleToACall) {
    Watcher watcher("fault");
    ASSERT_EQ(watcher.init("on=init,call=vfork,when=2"), "");
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT, "vfork"), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT, "fork"), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT, "vforkx"), NOTIFY_DONE);
    EXPECT_NE(tell(watcher, WATCH_TASK_INIT, "vfork"), NOTIFY_DONE);
}

TEST_F(Fault, RestrictsARuleToProgramsByNameAndPattern) {
    std::string name = program_invocation_short_name, pattern = name;
    pattern.front() = '?';
    pattern = "*" + pattern.substr(0, pattern.size() - 1) + "[" + pattern.back() + "]*";
    EXPECT_EQ(selected("on=init,program=" + name, 1), "1");
    EXPECT_EQ(selected("on=init,program=" + pattern, 1), "1");
    EXPECT_EQ(selected("on=init,program=" + name.substr(1), 1), "") << "a part of the name is not the name";
    EXPECT_EQ(selected("on=init,program=make", 1), "");
    EXPECT_EQ(selected("on=init,program=make,when=1;on=init,when=1", 1), "1");
}

TEST_F(Fault, CountsItsCandidatesOverTheSession) {
    Watcher here("fault"), there("fault");
    ASSERT_EQ(here.init("on=init,when=3"), "");
    ASSERT_EQ(there.init("on=init,when=3"), "");
    EXPECT_EQ(tell(here, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_EQ(tell(there, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_NE(tell(here, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_EQ(tell(there, WATCH_TASK_INIT), NOTIFY_DONE);
}

TEST_F(Fault, CountsPerProcessWithoutASession) {
    host.session = false;
    Watcher here("fault"), there("fault");
    ASSERT_EQ(here.init("on=init,when=2"), "");
    ASSERT_EQ(there.init("on=init,when=2"), "");
    EXPECT_EQ(tell(here, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_EQ(tell(there, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_NE(tell(here, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_NE(tell(there, WATCH_TASK_INIT), NOTIFY_DONE);
}

TEST_F(Fault, DrawsTheSameCandidatesForTheSameSeed) {
    std::string first = selected("on=init,probability=0.5,seed=1", 64);
    EXPECT_EQ(selected("on=init,probability=0.5,seed=1", 64), first);
    EXPECT_EQ(selected("on=init,probability=50%,seed=1", 64), first);
    EXPECT_NE(selected("on=init,probability=0.5,seed=2", 64), first);
    EXPECT_EQ(selected("on=init,probability=0,seed=1", 64), "");
    EXPECT_EQ(selected("on=init,probability=100%", 2), "1 2");
    EXPECT_EQ(selected("on=init,probability=1.000,when=2", 3), "2");
}

TEST_F(Fault, DrawsAsOftenAsWasAskedFor) {
    for (auto [probability, least, most] :
         {std::tuple{"0.25", 2300, 2700}, {"1%", 60, 140}, {"0.999", 9970, 9999}}) {
        std::string numbers = selected(std::string("on=init,probability=") + probability, 10000);
        auto count = std::count(numbers.begin(), numbers.end(), ' ') + 1;
        EXPECT_GE(count, least) << probability;
        EXPECT_LE(count, most) << probability;
    }
}

TEST_F(Fault, AppliesSeveralRulesEachWithItsOwnCount) {
    Watcher watcher("fault");
    ASSERT_EQ(watcher.init("on=init,error=ENOMEM,when=2;on=exec,error=ENOENT,when=1;on=init,when=2..3"), "");
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT), NOTIFY_DONE);
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE), notifier_from_errno(-ENOENT));
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT), notifier_from_errno(-ENOMEM)) << "the first rule that fires";
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT), notifier_from_errno(-EAGAIN))
        << "the third has counted all along";
    EXPECT_EQ(tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE), NOTIFY_DONE);
}

TEST_F(Fault, TakesEightRulesAndRefusesTheNinth) {
    std::string eight;
    for (int i = 1; i <= 8; i++) eight += "on=init,when=" + std::to_string(i) + ";";
    EXPECT_EQ(selected(eight, 9), "1 2 3 4 5 6 7 8");
    EXPECT_EQ(refusal(eight + "on=exec"), "rule 9: rules: 'on=exec' is one too many; accepted: 8 rules");
}

TEST_F(Fault, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    const char error[] = "is not an error; accepted: a name like EAGAIN, 1 to 4095";
    const char when[] =
        "is not a selection; accepted: FIRST[..LAST][+[STEP]] with numbers from 1, as 3, 3..5, 3+, 3+2";
    const char probability[] = "is not a probability; accepted: 0 to 1, 0% to 100%";
    struct {
        std::string options, refusal;
    } cases[] = {
        {"", "rule 1: on: '' is no event; accepted: on=init, clone, exec, uid, gid"},
        {"when=3", "rule 1: on: '' is no event; accepted: on=init, clone, exec, uid, gid"},
        {"on=init;error=EIO", "rule 2: on: '' is no event; accepted: on=init, clone, exec, uid, gid"},
        {"on=init,exit",
         "rule 1: on: 'exit' is not an event that can fail; accepted: init, clone, exec, uid, gid"},
        {"on=init,error=EWHAT", std::string("rule 1: error: 'EWHAT' ") + error},
        {"on=init,error=-1", std::string("rule 1: error: '-1' ") + error},
        {"on=init,error=4096", std::string("rule 1: error: '4096' ") + error},
        {"on=init,seed=x", "rule 1: seed: 'x' is not a seed; accepted: 0 to 18446744073709551615"},
        {"on=init,program=", "rule 1: program: '' is empty; accepted: a name or a pattern with * ? [..]"},
        {"on=init,call=",
         "rule 1: call: '' is not the name of a function; accepted: a name like fork, vfork, "
         "posix_spawn, execve, setuid"},
        {"on=init,call=fork()",
         "rule 1: call: 'fork()' is not the name of a function; accepted: a name like fork, "
         "vfork, posix_spawn, execve, setuid"},
        {"on=init,retval=3",
         "rule 1: option: 'retval' is unknown; accepted: on, error, when, probability, seed, "
         "program, call"}};
    for (auto &c : cases) EXPECT_EQ(refusal(c.options), c.refusal);
    for (std::string bad :
         {"0", "", "x", "3..2", "..3", "3.4", "3+0", "3+x", "+2", "3..4..5", "99999999999", "3 "})
        EXPECT_EQ(refusal("on=init,when=" + bad), "rule 1: when: '" + bad + "' " + when);
    for (std::string bad : {"", "2", "1.1", "101%", "-1", ".5", "0.", "x", "50 %", "1e-3", "1000"})
        EXPECT_EQ(refusal("on=init,probability=" + bad), "rule 1: probability: '" + bad + "' " + probability);
}

TEST_F(Fault, AsksForTheEventsBeforeTheCalls) {
    Watcher watcher("fault"), limit("limit");
    EXPECT_EQ(watcher.descriptor().events & WATCH_MASK_BEFORE, WATCH_MASK_BEFORE);
    EXPECT_GT(watcher.descriptor().priority, limit.descriptor().priority)
        << "limit need not count what fails here";
}

TEST_F(Fault, KeepsToOneKilobyteOfStack) {
    Watcher watcher("fault");
    ASSERT_EQ(watcher.init("on=init,probability=0.5;on=init;on=exec,call=execve"), "");
    size_t used =
        stack_used([](void *context) { tell(*static_cast<Watcher *>(context), WATCH_TASK_INIT); }, &watcher);
    EXPECT_LT(used, 1024u + 128 + sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
