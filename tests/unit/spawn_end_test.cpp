// SPDX-License-Identifier: MIT
// What spawn() does that libc's does not: a child that is held, vetoed, or killed while held; and the odd
// places it is called from: a small stack, a signal handler, a vfork child, another pid namespace.
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <climits>

#include "spawn_case.hpp"
#include "spawn_child.hpp"

using namespace spawn_case;
using namespace taskwatch;

namespace {

char true_program[] = "/bin/true";
char *const true_arguments[] = {true_program, nullptr};

SpawnRequest request_for_true() { return request_for(true_program, true_arguments, environ); }

int refuse(void *, pid_t) { return EAGAIN; }
int refuse_by_suicide(void *, pid_t) { return int(sys::call(SYS_kill, sys::call(SYS_getpid), SIGKILL)); }

// A child that lives until told, so that another thread has something to wait for, and that thread.
class Bystanders {
  public:
    Bystanders() {
        announced.runs = 0;
        watch_sigchld(SA_RESTART);
        if (pipe2(ends_, O_CLOEXEC)) abort();
        sleeper_ = fork();
        if (sleeper_ == 0) {
            char byte;
            close(ends_[1]);
            _exit(read(ends_[0], &byte, 1) ? 1 : 0);
        }
        pthread_create(&thread_, nullptr, collect, this);
    }
    // Ends both. What the thread was told of, but for the sleeper.
    std::vector<pid_t> end() {
        close(ends_[1]);
        pthread_join(thread_, nullptr);
        close(ends_[0]);
        signal(SIGCHLD, SIG_DFL);
        return seen_;
    }

  private:
    static void *collect(void *self) {
        auto &own = *static_cast<Bystanders *>(self);
        pid_t pid;
        while ((pid = waitpid(-1, nullptr, 0)) != own.sleeper_)
            if (pid > 0) own.seen_.push_back(pid);
        return nullptr;
    }
    int ends_[2];
    pid_t sleeper_;
    pthread_t thread_;
    std::vector<pid_t> seen_;
};

bool sigchld_is_pending() {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, SIGCHLD);
}

TEST(SpawnVeto, LeavesNothing) {
    Bystanders bystanders;
    SpawnRequest request = request_for_true();
    request.held = refuse;
    int refused = 0;
    for (int i = 0; i < 1000; i++) {
        SpawnResult result = spawn_blocked(request);
        refused += result.error == EAGAIN && result.vetoed && result.pid > 0 &&
                   waitpid(result.pid, nullptr, __WALL | WNOHANG) == -1 && errno == ECHILD && !sigchld_is_pending();
    }
    EXPECT_EQ(refused, 1000);
    EXPECT_EQ(announced.runs, 0);
    EXPECT_EQ(bystanders.end().size(), 0u);
}

// The same bystanders see what a child that is not ours leaves, or the test above would show nothing.
TEST(SpawnVeto, BystandersWouldNoticeAnOrdinaryChild) {
    Bystanders bystanders;
    size_t taken_from_us = 0;
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        taken_from_us += waitpid(pid, nullptr, 0) == -1;
    }
    EXPECT_GT(announced.runs, 0);
    EXPECT_EQ(bystanders.end().size(), taken_from_us);
}

TEST(SpawnVeto, ComesBeforeAnyFileActionOrAttribute) {
    std::string text = in_a_process([](const std::string &) {
        write_file("kept", "12345678", 0644);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "kept", O_WRONLY | O_TRUNC, 0);
        posix_spawn_file_actions_addopen(&actions, 1, "made", O_WRONLY | O_CREAT, 0666);
        SpawnRequest request = request_for_true();
        request.actions = &actions;
        request.held = refuse;
        SpawnResult vetoed = spawn_blocked(request);
        std::string after = contents("kept") + (access("made", F_OK) ? " none" : " made");
        request.held = [](void *, pid_t) { return 0; };
        SpawnResult made = spawn_blocked(request);
        waitpid(made.pid, nullptr, 0);
        return std::to_string(vetoed.error) + after + "," + std::to_string(made.error) + contents("kept") +
               (access("made", F_OK) ? " none" : " made");
    });
    EXPECT_EQ(text, std::to_string(EAGAIN) + "12345678 none,0 made");
}

TEST(SpawnHeld, IsToldThePidBeforeTheImageWithAllSignalsBlocked) {
    struct Seen {
        pid_t child, self, parent;
        sys::SignalMask mask;
        bool handler_is_gone;
    } seen = {};
    signal(SIGUSR1, [](int) {});
    signal(SIGUSR2, SIG_IGN);
    SpawnRequest request = request_for_true();
    request.context = &seen;
    request.held = [](void *context, pid_t child) {
        auto &ret_seen = *static_cast<Seen *>(context);
        ret_seen = {child, sys::getpid(), sys::getppid(), 0, false};
        sys::call(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &ret_seen.mask, 8);
        return 0;
    };
    auto exec = request.exec;
    static decltype(exec) real_exec;
    real_exec = exec;
    request.exec = [](void *context, const char *path, char *const *argv, char *const *envp) {
        unsigned long one[4] = {1}, two[4] = {};
        sys::call(SYS_rt_sigaction, SIGUSR1, nullptr, one, 8);
        sys::call(SYS_rt_sigaction, SIGUSR2, nullptr, two, 8);
        static_cast<Seen *>(context)->handler_is_gone = one[0] == 0 && two[0] == 1;
        return real_exec(context, path, argv, envp);
    };
    constexpr sys::SignalMask unblockable = sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP);
    for (bool with_clone3 : {true, false}) {
        std::string text = in_a_process([&](const std::string &) {
            if (!with_clone3) refuse_system_call(SYS_clone3, ENOSYS);
            SpawnResult result = spawn_blocked(request);
            bool right = !result.error && waitpid(result.pid, nullptr, 0) == result.pid && seen.child == result.pid &&
                         seen.self == result.pid && seen.parent == getpid() && seen.handler_is_gone && (seen.mask | unblockable) == sys::all_signals;
            return std::string(right ? "right" : "wrong");
        });
        EXPECT_EQ(text, "right") << "with clone3: " << with_clone3;
    }
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

TEST(SpawnHeld, IsToldThePidAsTheParentSeesIt) {
    SKIP_UNLESS(is_root(), "needs root");
    std::string text = in_a_process([](const std::string &) {
        if (unshare(CLONE_NEWPID)) return std::string("no namespace");
        struct Seen {
            pid_t child, self;
        } seen = {};
        SpawnRequest request = request_for_true();
        request.context = &seen;
        request.held = [](void *context, pid_t child) {
            *static_cast<Seen *>(context) = {child, sys::getpid()};
            return 0;
        };
        SpawnResult result = spawn_blocked(request);
        bool right = waitpid(result.pid, nullptr, 0) == result.pid && seen.child == result.pid && seen.self == 1;
        return std::string(right ? "right" : "wrong");
    });
    EXPECT_EQ(text, "right");
}

TEST(SpawnFailure, IsHiddenFromAnotherThreadsWait) {
    Bystanders bystanders;
    SpawnRequest request = request_for("/nothing", true_arguments, environ);
    int right = 0;
    for (int i = 0; i < 300; i++) {
        SpawnResult result = spawn_blocked(request);
        right += result.error == ENOENT && !result.vetoed && result.pid > 0;
    }
    EXPECT_EQ(right, 300);
    EXPECT_EQ(bystanders.end().size(), 0u);
}

// The kernel takes a signal with another's sender only from the thread that it is sent to.
TEST(SpawnFailure, IsAnnouncedFromAnyThread) {
    announced.runs = 0;
    watch_sigchld(SA_RESTART);
    pthread_t thread;
    auto body = [](void *) -> void * {
        spawn_blocked(request_for("/nothing", true_arguments, environ));
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
    pthread_join(thread, nullptr);
    EXPECT_EQ(announced.runs, 1);
    EXPECT_EQ(announced.status, 127);
    signal(SIGCHLD, SIG_DFL);
}

// Killed by somebody else while a file action blocks: a fifo that opens tells the killer that the child
// is there, and one that never opens keeps it.
void kill_in_file_action(Call &call) {
    mkfifo("there", 0600);
    mkfifo("never", 0600);
    posix_spawn_file_actions_addopen(&call.actions, 20, "there", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&call.actions, 20, "never", O_RDONLY, 0);
    pthread_t killer;
    auto body = [](void *) -> void * {
        sys::set_signal_mask(sys::all_signals);
        std::string self = std::to_string(getpid());
        close(open("there", O_WRONLY | O_CLOEXEC));
        kill(atoi(contents("/proc/" + self + "/task/" + self + "/children").c_str()), SIGKILL);
        return nullptr;
    };
    pthread_create(&killer, nullptr, body, nullptr);
}

TEST(SpawnDeath, BeforeTheExecIsFoundLikeAnyOther) {
    Prepare prepare = [](Call &call) {
        kill_in_file_action(call);
        watch_sigchld();
    };
    std::string expected = observe(genuine, prepare);
    EXPECT_EQ(observe(own, prepare), expected);
    EXPECT_NE(expected.find("error 0, pid written"), std::string::npos) << expected;
    EXPECT_NE(expected.find("wait found it, status 9\nruns 1, code 2, status 9,"), std::string::npos) << expected;
}

TEST(SpawnDeath, OfTheIgnoredIsNotLeftBehind) {
    for (Prepare prepare : {Prepare([](Call &call) {
                            kill_in_file_action(call);
                            signal(SIGCHLD, SIG_IGN);
                        }),
                        Prepare([](Call &call) {
                            kill_in_file_action(call);
                            watch_sigchld(SA_NOCLDWAIT);
                        })}) {
        std::string expected = observe(genuine, prepare);
        EXPECT_EQ(observe(own, prepare), expected);
        EXPECT_NE(expected.find("wait ECHILD"), std::string::npos) << expected;
        EXPECT_NE(expected.find("left to wait for: nothing"), std::string::npos) << expected;
    }
}

TEST(SpawnDeath, IsKnownUntilForgotten) {
    EXPECT_FALSE(spawn_died_unseen(-1));
    SpawnRequest request = request_for_true();
    request.held = refuse_by_suicide;
    pid_t pids[10];
    for (pid_t &pid : pids) {
        SpawnResult result = spawn_blocked(request);
        EXPECT_EQ(result.error, 0);
        EXPECT_FALSE(result.vetoed);
        pid = result.pid;
    }
    EXPECT_TRUE(spawn_died_unseen(-1));
    EXPECT_FALSE(spawn_died_unseen(getpid()));
    for (int i = 0; i < 10; i++) {
        int status = 0;
        EXPECT_EQ(spawn_died_unseen(pids[i]), i < 8) << i;
        EXPECT_EQ(waitpid(pids[i], &status, 0), -1);
        EXPECT_EQ(waitpid(pids[i], &status, __WALL), pids[i]);
        EXPECT_EQ(status, SIGKILL);
        spawn_forget_unseen(pids[i]);
    }
    EXPECT_FALSE(spawn_died_unseen(-1));
}

// Spawns and waits; the exit status of /bin/true, or what went wrong.
int spawn_true(const char *file = "true") {
    SpawnRequest request = request_for(file, true_arguments, environ);
    request.search_path = true;
    SpawnResult result = spawn_blocked(request);
    int status = -1;
    if (result.error) return result.error;
    return waitpid(result.pid, &status, 0) == result.pid ? status : -1;
}

TEST(SpawnContext, ThreadWithTheSmallestStack) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, size_t(PTHREAD_STACK_MIN)), 0);
    pthread_t thread;
    void *result = nullptr;
    auto body = [](void *) -> void * { return reinterpret_cast<void *>(long(spawn_true())); };
    ASSERT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
    pthread_join(thread, &result);
    EXPECT_EQ(reinterpret_cast<long>(result), 0);
    pthread_attr_destroy(&attributes);
}

// What the shim and its watchers may take of the caller's stack is 2 KiB (R10); the rest of it is for the
// exec and held functions.
TEST(SpawnContext, TakesLittleOfTheCallersStack) {
    constexpr size_t size = 64 * 1024;
    auto *stack = static_cast<unsigned char *>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    static unsigned char *at_entry;
    static int result;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, size);
    pthread_t thread;
    auto body = [](void *low) -> void * {
        at_entry = static_cast<unsigned char *>(__builtin_frame_address(0));
        memset(low, 0xa5, size_t(at_entry - static_cast<unsigned char *>(low)) - 512);
        result = spawn_true();
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, body, stack), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    EXPECT_EQ(result, 0);
    size_t untouched = 0;
    while (stack[untouched] == 0xa5) untouched++;
    size_t taken = size_t(at_entry - stack) - untouched;
    RecordProperty("bytes", int(taken));
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
    EXPECT_LT(taken, 1536u);
#endif
    munmap(stack, size);
}

TEST(SpawnContext, SignalHandlerOnItsOwnStack) {
    static unsigned char alternate[8192];
    static volatile int result;
    stack_t stack = {alternate, 0, sizeof alternate}, old;
    sigaltstack(&stack, &old);
    struct sigaction action = {};
    action.sa_handler = [](int) { result = spawn_true(); };
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, nullptr);
    result = -1;
    raise(SIGUSR1);
    EXPECT_EQ(result, 0);
    signal(SIGUSR1, SIG_DFL);
    sigaltstack(&old, nullptr);
}

// Signals rain on a process that spawns: no handler of its own may run in a child, on its memory.
TEST(SpawnContext, NoHandlerRunsInTheChild) {
    static pid_t process;
    static std::atomic<int> runs, in_child;
    static std::atomic<bool> done;
    process = getpid();
    done = false;
    signal(SIGUSR1, [](int) { (sys::getpid() == process ? runs : in_child)++; });
    setpgid(0, 0);
    pthread_t thread;
    auto body = [](void *) -> void * {
        while (!done) kill(0, SIGUSR1);
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, nullptr, body, nullptr), 0);
    SpawnRequest request = request_for("/nothing", true_arguments, environ);
    int reaped = 0;
    for (int i = 0; i < 500; i++) {
        // The signal is for the child, too, and kills it unless its exec fails first.
        SpawnResult result = spawn_blocked(request);
        reaped += (result.error == 0) == (waitpid(result.pid, nullptr, __WALL) == result.pid);
        spawn_forget_unseen(result.pid);
    }
    done = true;
    pthread_join(thread, nullptr);
    EXPECT_EQ(reaped, 500);
    EXPECT_GT(runs, 0);
    EXPECT_EQ(in_child, 0);
    signal(SIGUSR1, SIG_DFL);
}

TEST(SpawnContext, VforkChildSpawnsAndWaits) {
    static volatile int result;
    static volatile pid_t inner, outer;
    result = -1;
    pid_t pid = vfork();
    if (pid == 0) {
        SpawnRequest request = request_for_true();
        request.held = [](void *, pid_t) {
            inner = sys::getppid();
            return 0;
        };
        outer = sys::getpid();
        SpawnResult made = spawn_blocked(request);
        int status = -1;
        waitpid(made.pid, &status, 0);
        request.held = refuse;
        SpawnResult vetoed = spawn_blocked(request);
        result = made.error || status || vetoed.error != EAGAIN || waitpid(-1, nullptr, __WALL) != -1;
        _exit(7);
    }
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 7 << 8);
    EXPECT_EQ(result, 0);
    EXPECT_EQ(outer, pid);
    EXPECT_EQ(inner, pid);
}

TEST(SpawnContext, WithoutFreeDescriptors) {
    std::string text = in_a_process([](const std::string &) {
        while (dup(0) >= 0) {}
        return std::to_string(spawn_true());
    });
    EXPECT_EQ(text, "0");
}

// Number of mappings: those that the child made on the shared memory must be gone again.
TEST(SpawnContext, LongSearchAndLongShellCallLeaveNoMemoryBehind) {
    std::string text = in_a_process([](const std::string &) {
        write_file("script", "exit 5\n", 0755);
        setenv("PATH", (std::string(300, '/') + "nothing:" + std::string(400, '/') + link_target("/proc/self/cwd")).c_str(), 1);
        std::vector<char *> arguments(4000, true_program);
        arguments.push_back(nullptr);
        SpawnRequest request = request_for("script", arguments.data(), environ);
        request.search_path = request.shell_fallback = true;
        auto mappings = [] {
            std::string maps = contents("/proc/self/maps");
            return std::count(maps.begin(), maps.end(), '\n');
        };
        auto before = mappings();
        int status = -1, made = 0;
        for (int i = 0; i < 8; i++) {
            SpawnResult result = spawn_blocked(request);
            waitpid(result.pid, &status, 0);
            made += !result.error && status == 5 << 8;
        }
        return std::to_string(made) + (mappings() == before ? " none left" : " left");
    });
    EXPECT_EQ(text, "8 none left");
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
    list.__used = list.__allocated + 1;
    EXPECT_FALSE(spawn_can_do(&list, nullptr)) << "more elements than there is room for";
    list.__used = 7;
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
