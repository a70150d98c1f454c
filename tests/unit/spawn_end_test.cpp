// SPDX-License-Identifier: MIT
// What spawn() does that libc's does not: a child that is held, vetoed, or killed while held.
#include <pthread.h>

#include "spawn_case.hpp"

using namespace spawn_case;
using namespace taskwatch;

namespace {

int die(void *, pid_t) { return int(sys::call(SYS_kill, sys::call(SYS_getpid), SIGKILL)); }

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
                   waitpid(result.pid, nullptr, __WALL | WNOHANG) == -1 && errno == ECHILD &&
                   !sigchld_is_pending();
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
    static auto real_exec = request.exec;
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
            bool right = !result.error && waitpid(result.pid, nullptr, 0) == result.pid &&
                         seen.child == result.pid && seen.self == result.pid && seen.parent == getpid() &&
                         seen.handler_is_gone && (seen.mask | unblockable) == sys::all_signals;
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
        bool right = waitpid(result.pid, nullptr, 0) == result.pid && seen.child == result.pid &&
                     seen.self == 1;
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

TEST(SpawnFailure, WithoutAnyChildHasNoPid) {
    std::string text = in_a_process([](const std::string &) {
        refuse_system_call(SYS_clone3, EAGAIN);  // as at RLIMIT_NPROC
        SpawnResult result = spawn_blocked(request_for_true());
        return std::to_string(result.error) + " " + std::to_string(result.pid) +
               (result.vetoed ? " veto" : "");
    });
    EXPECT_EQ(text, std::to_string(EAGAIN) + " 0");
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
    EXPECT_NE(expected.find("wait found it, status 9\nruns 1, code 2, status 9,"), std::string::npos)
        << expected;
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
    SpawnRequest request = request_for_true();
    request.held = die;
    for (int round = 0; round < 3; round++) {  // the places for them are used again
        EXPECT_FALSE(spawn_died_unseen(-1));
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
            EXPECT_EQ(spawn_died_unseen(pids[i]), i < 8) << "there are eight places";
            EXPECT_EQ(waitpid(pids[i], &status, 0), -1);
            EXPECT_EQ(waitpid(pids[i], &status, __WALL), pids[i]);
            EXPECT_EQ(status, SIGKILL);
            spawn_forget_unseen(pids[i]);
            EXPECT_FALSE(spawn_died_unseen(pids[i]));
        }
    }
    EXPECT_FALSE(spawn_died_unseen(-1));
}

}  // namespace
