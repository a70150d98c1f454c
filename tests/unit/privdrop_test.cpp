// SPDX-License-Identifier: MIT
// The privdrop watcher: which findings follow from which events. The ids in the events are made up; what it asks the
// kernel for itself are the test's own. With real ids, and each rule: tests/watchers.
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "watcher_host.hpp"

namespace {

using nlohmann::json;

class Privdrop : public testing::Test {
  public:
    void SetUp() override { reset_host(); }

    static task_watch self_task(const char *call) {
        task_watch task = make_task();
        task.pid = task.tgid = task.by = getpid();
        task.call = call;
        return task;
    }
    static void change(Watcher &watcher, const char *call, task_watch_ids old, task_watch_ids now, uint32_t context = 0) {
        task_watch task = self_task(call);
        task.context = context;
        task.old_ids = old, task.ids = now;
        watcher.notify(WATCH_TASK_UID, task);
    }
    static void refuse(Watcher &watcher, const char *call, unsigned long event, task_watch_ids ids, int error) {
        task_watch task = self_task(call);
        task.old_ids = task.ids = ids;
        task.error = error;
        watcher.notify(event | WATCH_FAILED, task);
    }
    static void fork(Watcher &watcher, uint64_t flags = SIGCHLD, const char *call = "fork") {
        task_watch child = make_creation(WATCH_TASK_INIT, call);
        child.clone_flags = flags;
        child.parent_id = make_task().id;
        watcher.notify(WATCH_TASK_INIT, child);
    }
    std::vector<json> findings() {
        std::istringstream lines(host.take());
        std::vector<json> all;
        for (std::string line; std::getline(lines, line);) all.push_back(json::parse(line));
        return all;
    }
    std::vector<std::string> rules() {
        std::vector<std::string> names;
        for (json &finding : findings()) names.push_back(finding["rule"]);
        return names;
    }

    static constexpr task_watch_ids root = {0, 0, 0, 0}, user = {1000, 1000, 1000, 1000}, held = {0, 1000, 0, 1000};
    Watcher watcher{"privdrop"};
};

using Rules = std::vector<std::string>;

TEST_F(Privdrop, TellsOfAFailedCallOnlyWhenTheProcessGoesOn) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    refuse(watcher, "setresuid", WATCH_TASK_UID, root, EAGAIN);
    EXPECT_EQ(rules(), Rules{});
    fork(watcher);
    auto told = findings();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0]["event"], "privdrop");
    EXPECT_EQ(told[0]["rule"], "unchecked");
    EXPECT_EQ(told[0]["call"], "setresuid");
    EXPECT_EQ(told[0]["why"], "it failed with EAGAIN, and the process went on to fork");
    EXPECT_EQ(told[0]["task"], make_task().id) << "the one that goes on, not the child";
    EXPECT_EQ(told[0]["pid"], getpid());
    EXPECT_STREQ(host.last_path, "/x");
}

TEST_F(Privdrop, TellsARuleOnceAProcess) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    refuse(watcher, "setuid", WATCH_TASK_UID, root, EPERM);
    fork(watcher);
    fork(watcher);
    refuse(watcher, "setgid", WATCH_TASK_GID, root, EPERM);
    fork(watcher);
    EXPECT_EQ(rules(), Rules{"unchecked"});
}

TEST_F(Privdrop, AThreadIsNoChild) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    refuse(watcher, "setuid", WATCH_TASK_UID, root, EPERM);
    fork(watcher, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, "pthread_create");
    EXPECT_EQ(rules(), Rules{});
}

TEST_F(Privdrop, AnExecIsGoingOnToo) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    refuse(watcher, "SYS_setgid", WATCH_TASK_GID, root, EINVAL);
    task_watch task = self_task("execve");
    task.path = "/bin/true";
    watcher.notify(WATCH_TASK_EXEC, task);
    EXPECT_EQ(rules(), Rules{}) << "a new image has nothing to do with it";
    watcher.notify(WATCH_TASK_EXEC | WATCH_BEFORE, task);
    auto told = findings();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0]["call"], "setgid");
    EXPECT_EQ(told[0]["why"], "it failed with EINVAL, and the process went on to execve");
}

TEST_F(Privdrop, WhoHasNothingToGiveUpMayFail) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    refuse(watcher, "setuid", WATCH_TASK_UID, user, EPERM);
    fork(watcher);
    EXPECT_EQ(rules(), Rules{});
}

TEST_F(Privdrop, ALaterSuccessMakesAFailureGood) {
    ASSERT_EQ(watcher.init("output=/x,rules=unchecked"), "");
    refuse(watcher, "setresuid", WATCH_TASK_UID, root, ENOSYS);
    change(watcher, "setuid", root, user);
    fork(watcher);
    EXPECT_EQ(rules(), Rules{});
    // A group id's failure is not made good by a user id's success.
    refuse(watcher, "setgid", WATCH_TASK_GID, root, EPERM);
    change(watcher, "setuid", root, user);
    fork(watcher);
    EXPECT_EQ(rules(), Rules{"unchecked"});
}

TEST_F(Privdrop, TellsOfASavedIdAndAFileSystemId) {
    ASSERT_EQ(watcher.init("output=/x,rules=saved,fs"), "");
    change(watcher, "setresuid", root, {1000, 1000, 0, 1000});
    change(watcher, "setfsuid", {0, 1000, 0, 1000}, {0, 1000, 0, 0});
    auto told = rules();
    EXPECT_NE(std::find(told.begin(), told.end(), "saved"), told.end());
    EXPECT_EQ(told.back(), "fs");
}

TEST_F(Privdrop, TellsOnBehalfOfAKilledOneWhatItsCellSays) {
    ASSERT_EQ(watcher.init("output=/x,rules=regain"), "");
    change(watcher, "seteuid", root, held);
    EXPECT_EQ(rules(), Rules{});
    Watcher parent("privdrop");
    ASSERT_EQ(parent.init("output=/x,rules=regain"), "");
    task_watch task = self_task("waitpid");
    parent.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    auto told = findings();
    ASSERT_EQ(told.size(), 1u);
    EXPECT_EQ(told[0]["uid"], (json::array({0, 1000, 0, 1000})));
    EXPECT_EQ(told[0]["gid"], nullptr) << "nobody can ask any more";
}

TEST_F(Privdrop, WhatWasTakenBackAndGivenUpForGoodIsForgotten) {
    ASSERT_EQ(watcher.init("output=/x,rules=regain"), "");
    change(watcher, "seteuid", root, held);
    change(watcher, "seteuid", held, root);
    change(watcher, "setuid", root, user);
    task_watch task = self_task("waitpid");
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    EXPECT_EQ(rules(), Rules{});
}

TEST_F(Privdrop, AVforkChildLeavesItsParentsStateAlone) {
    ASSERT_EQ(watcher.init("output=/x,rules=unchecked,regain"), "");
    task_watch child = self_task("setuid");
    child.id = 21;
    child.context = TASKWATCH_IN_VFORK_CHILD;
    child.ids = child.old_ids = root;
    child.error = EPERM;
    watcher.notify(WATCH_TASK_UID | WATCH_FAILED, child);
    fork(watcher);
    EXPECT_EQ(rules(), Rules{}) << "its parent did not fail";
    child.call = "execve";
    watcher.notify(WATCH_TASK_EXEC | WATCH_BEFORE, child);
    EXPECT_EQ(rules(), Rules{"unchecked"});
}

TEST_F(Privdrop, DoesNothingUnderASeccompFilter) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    change(watcher, "setresuid", root, {1000, 1000, 0, 1000}, TASKWATCH_QUIET);
    EXPECT_EQ(host.writes, 0u);
}

TEST_F(Privdrop, FailsTheSessionOnlyWhenAskedAndOnlyForAFinding) {
    for (bool asked : {false, true}) {
        reset_host();
        Watcher fresh("privdrop");
        ASSERT_EQ(fresh.init(asked ? "fail=1" : "fail=0"), "");
        fork(fresh);
        EXPECT_EQ(host.failed, 0u);
        refuse(fresh, "setuid", WATCH_TASK_UID, root, EPERM);
        fork(fresh);
        EXPECT_EQ(host.failed, asked ? 1u : 0u);
    }
}

TEST_F(Privdrop, WritesTextWithoutControlCharacters) {
    ASSERT_EQ(watcher.init(""), "");
    char before[16];
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, "da\x1b" "mon");
    refuse(watcher, "setuid", WATCH_TASK_UID, root, EPERM);
    fork(watcher);
    prctl(PR_SET_NAME, before);
    std::string line = host.take();
    EXPECT_EQ(line.rfind("privdrop: unchecked: setuid() by task 17 (pid " + std::to_string(getpid()) + ", da?mon), uid ", 0), 0u)
        << line;
    EXPECT_EQ(line.back(), '\n');
    EXPECT_EQ(host.last_path, nullptr) << "the session's standard error";
}

TEST_F(Privdrop, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {
        {"fail=2", "fail: '2' is not a switch; accepted: 0, 1"},
        {"rules=order,uid",
         "rules: 'uid' is not a rule; accepted: order, groups, saved, fs, regain, unchecked, all"},
        {"output=x",
         "output: 'x' is not an absolute path, and programs change their folder; accepted: an absolute path, - for "
         "standard output"},
        {"file=/x", "option: 'file' is unknown; accepted: output, fail, rules"},
    };
    for (auto &c : cases) EXPECT_EQ(Watcher("privdrop").init(c.options), c.refusal);
}

TEST_F(Privdrop, KeepsToOneKilobyteOfStack) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    size_t used = stack_used(
        [](void *context) {
            auto &w = *static_cast<Watcher *>(context);
            for (uint64_t id : {30, 31}) {
                memset(host.cells[id], 0, sizeof host.cells[id]);
                task_watch task = self_task("setuid");
                task.id = id;
                task.context = TASKWATCH_IN_VFORK_CHILD;
                task.ids = task.old_ids = root;
                task.error = EPERM;
                w.notify(WATCH_TASK_UID | WATCH_FAILED, task);
                task.call = "execve";
                w.notify(WATCH_TASK_EXEC | WATCH_BEFORE, task);
            }
        },
        &watcher);
    EXPECT_GT(host.writes, 2u);
    EXPECT_LT(used, 1024u + 128 + sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
