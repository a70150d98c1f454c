// SPDX-License-Identifier: MIT
// The stack watcher: which events it asks for, what a record looks like, and the rules of a callback. Known call chains of
// whole programs are in tests/watchers.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <nlohmann/json.hpp>
#include <thread>

#include "watcher_host.hpp"

namespace {

using nlohmann::json;

// What a walk asks of the dynamic linker at each frame, while libunwind is at work.
void (*in_walk)();
extern "C" __attribute__((visibility("default"))) int _dl_find_object(void *address, dl_find_object *result) noexcept {
    static auto genuine = reinterpret_cast<int (*)(void *, dl_find_object *)>(dlsym(RTLD_NEXT, "_dl_find_object"));
    if (void (*function)() = in_walk) {
        in_walk = nullptr;
        function();
    }
    return genuine(address, result);
}

class Stack : public testing::Test {
  public:
    void SetUp() override { reset_host(); }

    static json record() {
        std::string text = host.take();
        EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
        return json::parse(text);
    }
    [[gnu::noinline]] static int tell(Watcher &watcher, unsigned long action, uint32_t context = 0) {
        task_watch task = make_creation(get_watch_event(action));
        task.context = context;
        int result = watcher.notify(action, task);
        asm volatile("");  // no jump instead of a call
        return result;
    }

    Watcher watcher{"stack"};
};

TEST_F(Stack, TellsWhoCalledTheCallback) {
    ASSERT_EQ(watcher.init("output=/x,symbols=now"), "");
    EXPECT_EQ(tell(watcher, WATCH_TASK_INIT), NOTIFY_DONE);
    json r = record();
    EXPECT_EQ(r["event"], "stack");
    EXPECT_EQ(r["of"], "init");
    EXPECT_EQ(r["call"], "fork");
    EXPECT_EQ(r["task"], make_task().id);
    EXPECT_GE(r["frames"].size(), 2u) << "libc's: this object stands for the library, whose frames are left out";
    EXPECT_STREQ(host.last_path, "/x");
    for (auto &frame : r["frames"]) EXPECT_LT(frame["module"].get<size_t>(), r["modules"].size());
}

TEST_F(Stack, TakesNoDescriptorAndLeavesTheLimitAsItWas) {
    auto next = [] {
        int fd = open("/dev/null", O_RDONLY);
        close(fd);
        return fd;
    };
    rlimit before, after;
    getrlimit(RLIMIT_NOFILE, &before);
    int number = next();
    ASSERT_EQ(watcher.init("output=/x"), "");
    EXPECT_EQ(next(), number);
    tell(watcher, WATCH_TASK_INIT);
    EXPECT_EQ(next(), number);
    getrlimit(RLIMIT_NOFILE, &after);
    EXPECT_EQ(after.rlim_cur, before.rlim_cur);
    EXPECT_EQ(after.rlim_max, before.rlim_max);
}

// From here on the calling thread's prlimit64 fails.
bool forbid_prlimit() {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prlimit64, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program = {sizeof filter / sizeof *filter, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(Stack, IsNotLoadedWhereLibunwindCannotBeKeptFromTheProgramsDescriptors) {
    pid_t child = fork();
    if (child == 0) {
        if (!forbid_prlimit()) _exit(2);
        _exit(watcher.init("output=/x") ==
                      "the limit of descriptors cannot be changed, so libunwind would take two of the program's"
                  ? 0
                  : 1);
    }
    int status;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST_F(Stack, AsksForTheEventsThatAreWantedAlone) {
    EXPECT_EQ(watcher.descriptor().events, unsigned(WATCH_MASK_INIT));
    ASSERT_EQ(watcher.init("events=exec,uid"), "");
    EXPECT_EQ(watcher.descriptor().events, unsigned(WATCH_MASK_EXEC | WATCH_MASK_BEFORE | WATCH_MASK_UID));
}

TEST_F(Stack, TellsExecAtItsCallAndNobodysEndButItsOwn) {
    ASSERT_EQ(watcher.init("output=/x,events=exec,exit"), "");
    tell(watcher, WATCH_TASK_EXEC);
    tell(watcher, WATCH_TASK_EXEC | WATCH_FAILED);
    tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE, TASKWATCH_FORECAST);
    tell(watcher, WATCH_TASK_EXIT | WATCH_ON_BEHALF);
    EXPECT_EQ(host.writes, 0u);
    tell(watcher, WATCH_TASK_EXEC | WATCH_BEFORE);
    EXPECT_EQ(record()["of"], "exec");
    tell(watcher, WATCH_TASK_EXIT);
    EXPECT_EQ(record()["of"], "exit");
}

TEST_F(Stack, WalksNothingInAChildOnItsParentsMemory) {
    ASSERT_EQ(watcher.init("output=/x,events=clone"), "");
    for (uint32_t context : {TASKWATCH_IN_VFORK_CHILD, TASKWATCH_FOREIGN_TLS}) {
        tell(watcher, WATCH_TASK_CLONE, context);
        json r = record();
        EXPECT_EQ(r["frames"], nullptr);
        EXPECT_EQ(r["why"], "in a child on its parent's memory");
    }
}

TEST_F(Stack, DoesNothingUnderASeccompFilter) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    tell(watcher, WATCH_TASK_INIT, TASKWATCH_QUIET);
    EXPECT_EQ(host.writes, 0u);
}

TEST_F(Stack, DoesNotTouchLibunwindInAProcessThatWasForkedInAWalk) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    static Watcher *current;
    static int status;
    current = &watcher;
    tell(watcher, WATCH_TASK_INIT);
    host.take();
    in_walk = [] {  // one is under way, as another thread's would be
        pid_t child = fork();
        if (child == 0) {
            host.length = 0;
            bool good = true;
            for (int i = 0; i < 2; i++) {
                tell(*current, WATCH_TASK_INIT);
                json r = record();
                good = good && r["frames"] == nullptr && r["why"] == "forked while another thread's stack was walked";
            }
            _exit(good ? 0 : 1);
        }
        waitpid(child, &status, 0);
    };
    tell(watcher, WATCH_TASK_INIT);
    EXPECT_EQ(status, 0);
    EXPECT_GT(record()["frames"].size(), 1u);
    tell(watcher, WATCH_TASK_INIT);
    EXPECT_GT(record()["frames"].size(), 1u) << "the parent goes on";
}

TEST_F(Stack, AChildThatWasForkedBetweenWalksWalks) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    tell(watcher, WATCH_TASK_INIT);
    host.take();
    pid_t child = fork();
    if (child == 0) {
        tell(watcher, WATCH_TASK_INIT);
        _exit(record()["frames"].size() > 1 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST_F(Stack, WritesFoldedStacksRootFirst) {
    ASSERT_EQ(watcher.init("folded=/f,symbols=now"), "");
    tell(watcher, WATCH_TASK_INIT);
    std::string line = host.take();
    EXPECT_STREQ(host.last_path, "/f");
    EXPECT_EQ(host.writes, 1u) << "no JSON beside it";
    EXPECT_EQ(line.rfind("unit-stack;", 0), 0u) << line;
    EXPECT_EQ(line.substr(line.size() - 8), ";fork 1\n") << line;
    EXPECT_EQ(std::count(line.begin(), line.end(), ' '), 1) << line;
}

TEST_F(Stack, WalksInManyThreadsAtOnce) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; t++)
        threads.emplace_back([this] {
            for (int i = 0; i < 50; i++) tell(watcher, WATCH_TASK_INIT);
        });
    for (auto &thread : threads) thread.join();
    EXPECT_EQ(host.writes, 400u);
    std::string all = host.take();
    size_t records = 0;
    for (size_t at = 0, end; (end = all.find('\n', at)) != std::string::npos; at = end + 1, records++)
        EXPECT_GT(json::parse(all.substr(at, end - at))["frames"].size(), 1u);
    EXPECT_EQ(records, 400u);
}

TEST_F(Stack, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {
        {"events=free", "events: 'free' is not an event; accepted: init, clone, exec, uid, gid, exit"},
        {"depth=0", "depth: '0' is not a number of frames; accepted: 1 to 256"},
        {"depth=257", "depth: '257' is not a number of frames; accepted: 1 to 256"},
        {"symbols=yes", "symbols: 'yes' is no time to look for names; accepted: now, later"},
        {"folded=x",
         "folded: 'x' is not an absolute path, and programs change their folder; accepted: an absolute path, - for "
         "standard output"},
        {"file=/x", "option: 'file' is unknown; accepted: events, depth, symbols, output, folded"},
    };
    for (auto &c : cases) EXPECT_EQ(Watcher("stack").init(c.options), c.refusal);
}

TEST_F(Stack, KeepsToOneKilobyteOfTheProgramsStack) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    size_t used = stack_used([](void *context) { tell(*static_cast<Watcher *>(context), WATCH_TASK_INIT); }, &watcher);
    EXPECT_EQ(host.writes, 2u);
    EXPECT_LT(used, 1024u + 128 + 2 * sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
