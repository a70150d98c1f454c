// SPDX-License-Identifier: MIT
// spawn() beside the genuine posix_spawn: every attribute, and what a failed one leaves behind. Each case
// is made twice in processes of their own and must read the same. File actions and searches are in
// spawn_actions_test.cpp; vetoes, deaths and odd contexts in spawn_end_test.cpp.
#include "spawn_case.hpp"

using namespace spawn_case;

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
     {"SigCgt:\t0000000000000000"}},
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
    {"Scheduler", [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDULER, SCHED_BATCH, 0); }, {"policy 3 priority 0"}},
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
    {"ParameterRefused", [](Call &c) { scheduler(c, POSIX_SPAWN_SETSCHEDPARAM, SCHED_OTHER, 5); }, {"error EINVAL"}},
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

}  // namespace
