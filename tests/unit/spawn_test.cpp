// SPDX-License-Identifier: MIT
// spawn() beside the genuine posix_spawn: every attribute, and what a failed one leaves behind. Each case
// is made twice in processes of their own and must read the same. File actions and searches are in
// spawn_actions_test.cpp; vetoes and deaths in spawn_end_test.cpp; odd callers in spawn_context_test.cpp.
#include "spawn_case.hpp"
#include "spawn_child.hpp"

using namespace spawn_case;
using namespace taskwatch;

namespace {

void scheduler(Call &call, int flags, int policy, int priority) {
    sched_param parameter = {};
    parameter.sched_priority = priority;
    call.attributes.__policy = policy;  // the function that sets it knows three policies only
    posix_spawnattr_setschedparam(&call.attributes, &parameter);
    call.set_flags(flags);
}

const NamedCase attributes[] = {
    {"Plain", [](Call &) {}, {"error 0, pid written", "status 1700", "argument a b\n", "image ./probe\n"}},
    {"NullListAndAttributes", [](Call &c) { c.pass_actions = c.pass_attributes = false; }, {"error 0"}},
    {"NoArguments", [](Call &c) { c.arguments = {}; }, {"error 0"}},
    {"MaskIsInherited",
     [](Call &) {
         sigset_t set = set_of({SIGUSR1, SIGTERM, 40, SIGCHLD});
         sigprocmask(SIG_SETMASK, &set, nullptr);
     },
     {"SigBlk:\t0000008000014200", "runs 0"}},
    {"MaskIsSet",
     [](Call &c) {
         sigset_t set = set_of({SIGUSR2});
         sigprocmask(SIG_SETMASK, &set, nullptr);
         set = set_of({SIGHUP});
         posix_spawnattr_setsigmask(&c.attributes, &set);
         c.set_flags(POSIX_SPAWN_SETSIGMASK);
     },
     {"SigBlk:\t0000000000000001"}},
    {"MaskIsSetToEverything",
     [](Call &c) {
         sigset_t set;
         memset(&set, 0xff, sizeof set);
         posix_spawnattr_setsigmask(&c.attributes, &set);
         c.set_flags(POSIX_SPAWN_SETSIGMASK);
     },
     {"SigBlk:\tfffffffe7ffbfeff"}},
    {"IgnoredStayIgnoredAndHandlersGo",
     [](Call &) {
         signal(SIGHUP, SIG_IGN);
         signal(45, SIG_IGN);
         signal(SIGUSR1, [](int) {});
     },
     {"1\nSigCgt"}},
    {"DefaultForAnIgnoredOne",
     [](Call &c) {
         signal(SIGHUP, SIG_IGN);
         signal(SIGINT, SIG_IGN);
         sigset_t set = set_of({SIGHUP, SIGKILL});
         posix_spawnattr_setsigdefault(&c.attributes, &set);
         c.set_flags(POSIX_SPAWN_SETSIGDEF);
     },
     {"00002\nSigCgt"}},
    {"DefaultForAll",
     [](Call &c) {
         for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
         watch_sigchld();
         sigset_t set;
         memset(&set, 0xff, sizeof set);
         posix_spawnattr_setsigdefault(&c.attributes, &set);
         c.set_flags(POSIX_SPAWN_SETSIGDEF);
     },
     {"SigIgn:\t0000000000000000"}},
    {"SigchldOfTheChildItself", [](Call &) { watch_sigchld(); },
     {"\nruns 1, code 1, status 23", "left to wait for: nothing"}},
    {"SigchldIgnored", [](Call &) { signal(SIGCHLD, SIG_IGN); }, {"wait ECHILD"}},
    {"OwnGroup",
     [](Call &c) {
         posix_spawnattr_setpgroup(&c.attributes, 0);
         c.set_flags(POSIX_SPAWN_SETPGROUP);
     },
     {"session parent's, group own"}},
    {"GroupOfAnother",
     [](Call &c) {
         setpgid(0, 0);
         posix_spawnattr_setpgroup(&c.attributes, getpid());
         c.set_flags(POSIX_SPAWN_SETPGROUP);
     },
     {"session parent's, group parent's"}},
    {"GroupThatIsNotThere",
     [](Call &c) {
         posix_spawnattr_setpgroup(&c.attributes, INT_MAX - 1);
         c.set_flags(POSIX_SPAWN_SETPGROUP);
     },
     {"error EPERM, pid untouched"}},
    {"OwnSession", [](Call &c) { c.set_flags(POSIX_SPAWN_SETSID); }, {"session own, group own"}},
    {"SessionThenGroupFails",
     [](Call &c) {
         posix_spawnattr_setpgroup(&c.attributes, getpgid(0));
         c.set_flags(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETPGROUP);
     },
     {"error EPERM"}},
    {"IdsAreReset",
     [](Call &c) {
         if (setresgid(12, 13, 14) || setresuid(0, 65534, 0)) abort();
         c.set_flags(POSIX_SPAWN_RESETIDS);
     },
     {"ids 0 0 0, 12 12 12"},
     true},
    {"IdsAreKept",
     [](Call &) {
         if (setresgid(12, 13, 14) || setresuid(7, 65534, 0)) abort();
     },
     {"ids 7 65534 65534, 12 13 13"},
     true},
    {"Scheduler",
     [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDULER, SCHED_BATCH, 0); },
     {"policy 3 priority 0"}},
    {"SchedulerRealTime",
     [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSCHEDPARAM, SCHED_RR, 3); },
     {"policy 2 priority 3"},
     true},
    {"SchedulerUnknown", [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDULER, 77, 0); }, {"error EINVAL"}},
    {"Parameter",
     [](Call &c) {
         sched_param parameter = {};
         parameter.sched_priority = 1;
         sched_setscheduler(0, SCHED_FIFO, &parameter);
         scheduler(c, POSIX_SPAWN_SETSCHEDPARAM, SCHED_OTHER, 2);
     },
     {"policy 1 priority 2"},
     true},
    {"ParameterRefused",
     [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDPARAM, SCHED_OTHER, 5); },
     {"error EINVAL"}},
    {"UseVfork", [](Call &c) { c.set_flags(POSIX_SPAWN_USEVFORK); }, {"error 0"}},
    {"AllAttributes",
     [](Call &c) {
         scheduler(c, 0xff & ~POSIX_SPAWN_SETPGROUP, SCHED_BATCH, 0);
         sigset_t set = set_of({SIGALRM});
         posix_spawnattr_setsigmask(&c.attributes, &set);
         posix_spawnattr_setsigdefault(&c.attributes, &set);
     },
     {"session own", "policy 3", "SigBlk:\t0000000000002000"}},
};

const NamedCase failures[] = {
    {"NoSuchFile", [](Call &c) { c.file = "/nothing"; }, {"error ENOENT, pid untouched, mask kept\n"}},
    {"EmptyName", [](Call &c) { c.file = ""; }, {"error ENOENT"}},
    {"MayNotBeRun",
     [](Call &c) {
         write_file("plain", "", 0644);
         c.file = "./plain";
     },
     {"error EACCES"}},
    {"NoProgram", [](Call &c) { make_script(c, "./script"); }, {"error ENOEXEC"}},
    {"NoFolder", [](Call &c) { c.file = "/dev/null/x"; }, {"error ENOTDIR"}},
    {"NameTooLong", [](Call &c) { c.file = "/" + std::string(300, 'x'); }, {"error ENAMETOOLONG"}},
    {"ArgumentTooLong", [](Call &c) { c.arguments = {"x", std::string(200'000, 'x')}; }, {"error E2BIG"}},
    {"WithAHandler",
     [](Call &c) {
         watch_sigchld();
         c.file = "/nothing";
     },
     {"SIGCHLD pending 0, runs 1", "code 1, status 127, uid 0, sender 1; left to wait for: nothing"},
     true},
    {"WithNocldwait",
     [](Call &c) {
         watch_sigchld(SA_NOCLDWAIT);
         c.file = "/nothing";
     },
     {"error ENOENT", "left to wait for: nothing"}},
    {"Blocked",
     [](Call &c) {
         watch_sigchld();
         sigset_t set = set_of({SIGCHLD});
         sigprocmask(SIG_BLOCK, &set, nullptr);
         c.file = "/nothing";
     },
     {"SIGCHLD pending 1, runs 0"}},
    {"BlockedAndIgnored",
     [](Call &c) {
         signal(SIGCHLD, SIG_IGN);
         sigset_t set = set_of({SIGCHLD});
         sigprocmask(SIG_BLOCK, &set, nullptr);
         c.file = "/nothing";
     },
     {"SIGCHLD pending 0, runs 0"}},
    {"BlockedAndDefault",
     [](Call &c) {
         sigset_t set = set_of({SIGCHLD});
         sigprocmask(SIG_BLOCK, &set, nullptr);
         c.file = "/nothing";
     },
     {"SIGCHLD pending 1, runs 0"}},
    {"AFailedActionWithAHandler",
     [](Call &c) {
         watch_sigchld();
         posix_spawn_file_actions_adddup2(&c.actions, 20, 21);
     },
     {"error EBADF", "SIGCHLD pending 0, runs 1", "status 127"}},
};

class Spawn : public testing::TestWithParam<NamedCase> {};

TEST_P(Spawn, IsAsLibcDoesIt) { expect_as_libc(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Attributes, Spawn, testing::ValuesIn(attributes), name_of);
INSTANTIATE_TEST_SUITE_P(Failures, Spawn, testing::ValuesIn(failures), name_of);

// libc 2.36 gives up here, so there is nothing to compare with.
TEST(Spawn, WorksWhereAFilterRefusesClone3WithEperm) {
    std::string text = observe(own, [](Call &) { refuse_system_call(SYS_clone3, EPERM); });
    EXPECT_NE(text.find("error 0, pid written"), std::string::npos) << text;
    EXPECT_NE(text.find("status 1700"), std::string::npos) << text;
}

TEST(SpawnCanDo, WhatLibcsFunctionsWrite) {
    posix_spawn_file_actions_t list;
    posix_spawn_file_actions_init(&list);
    ASSERT_EQ(posix_spawn_file_actions_addclose(&list, 11), 0);
    ASSERT_EQ(posix_spawn_file_actions_adddup2(&list, 12, 13), 0);
    ASSERT_EQ(posix_spawn_file_actions_addopen(&list, 14, "/one", 15, 16), 0);
    ASSERT_EQ(posix_spawn_file_actions_addchdir_np(&list, "/two"), 0);
    ASSERT_EQ(posix_spawn_file_actions_addfchdir_np(&list, 17), 0);
    ASSERT_EQ(posix_spawn_file_actions_addclosefrom_np(&list, 18), 0);
    ASSERT_EQ(posix_spawn_file_actions_addtcsetpgrp_np(&list, 19), 0);
    EXPECT_TRUE(spawn_can_do(&list, nullptr));
    ASSERT_EQ(list.__used, 7);
    auto *action = reinterpret_cast<FileAction *>(list.__actions);
    for (unsigned i = 0; i < 7; i++) EXPECT_EQ(action[i].tag, i);
    EXPECT_EQ(unsigned(FileAction::tcsetpgrp), 6u);
    EXPECT_EQ(action[0].with.fd, 11);
    EXPECT_EQ(action[1].with.dup2.from, 12);
    EXPECT_EQ(action[1].with.dup2.to, 13);
    EXPECT_EQ(action[2].with.open.fd, 14);
    EXPECT_STREQ(action[2].with.open.path, "/one");
    EXPECT_EQ(action[2].with.open.flags, 15);
    EXPECT_EQ(action[2].with.open.mode, 16u);
    EXPECT_STREQ(action[3].with.path, "/two");
    EXPECT_EQ(action[4].with.fd, 17);
    EXPECT_EQ(action[5].with.fd, 18);
    EXPECT_EQ(action[6].with.fd, 19);

    action[6].tag = 7;
    EXPECT_FALSE(spawn_can_do(&list, nullptr)) << "a tag of the future";
    action[6].tag = 6;
    action[6].with.fd = -1;
    EXPECT_FALSE(spawn_can_do(&list, nullptr)) << "a number that libc would not have taken";
    action[6].with.fd = 19;
    list.__allocated = 6;
    EXPECT_FALSE(spawn_can_do(&list, nullptr)) << "more elements than there is room for";
    list.__allocated = 7;
    EXPECT_TRUE(spawn_can_do(&list, nullptr));
    posix_spawn_file_actions_destroy(&list);
}

TEST(SpawnCanDo, KnownFlagsAndEmptyLists) {
    posix_spawnattr_t attributes = {};
    posix_spawn_file_actions_t list = {};
    EXPECT_TRUE(spawn_can_do(nullptr, nullptr));
    EXPECT_TRUE(spawn_can_do(&list, &attributes));
    attributes.__flags = 0xff;
    EXPECT_TRUE(spawn_can_do(&list, &attributes));
    attributes.__flags = 0x100;  // setcgroup, from 2.39 on
    EXPECT_FALSE(spawn_can_do(&list, &attributes));
}

}  // namespace
