// SPDX-License-Identifier: MIT
// The odd places that spawn() is called from: a small stack, a signal handler, a rain of signals, a vfork
// child, a process without a free descriptor. And what it leaves there: nothing.
#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>

#include <atomic>

#include "spawn_case.hpp"

using namespace spawn_case;
using namespace taskwatch;

namespace {

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

// What the child maps on the shared memory must be gone again: the size of the process tells.
TEST(SpawnContext, LongSearchAndLongShellCallLeaveNoMemoryBehind) {
    std::string text = in_a_process([](const std::string &folder) {
        write_file("script", "exit 5\n", 0755);
        std::string slashes(300, '/');
        setenv("PATH", (slashes + "nothing:" + slashes + folder).c_str(), 1);
        std::vector<char *> arguments(4000, true_program);
        arguments.push_back(nullptr);
        SpawnRequest request = request_for("script", arguments.data(), environ);
        request.search_path = request.shell_fallback = true;
        int status = -1, made = 0;
        std::string before, after;
        for (int i = 0; i < 9; i++) {
            if (i == 1) before = contents("/proc/self/statm");
            SpawnResult result = spawn_blocked(request);
            waitpid(result.pid, &status, 0);
            made += !result.error && status == 5 << 8;
        }
        after = contents("/proc/self/statm");
        bool same = before.substr(0, before.find(' ')) == after.substr(0, after.find(' '));
#ifdef __SANITIZE_ADDRESS__
        same = true;  // its allocator grows as it likes
#endif
        return std::to_string(made) + (same ? " none left" : " left " + before + after);
    });
    EXPECT_EQ(text, "9 none left");
}

}  // namespace
