// SPDX-License-Identifier: MIT
// The call chain of C++: a method, a template, a lambda, and an exception that is on its way.
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>

namespace workshop {

struct Smith {
    [[gnu::noinline]] int forge(int n) {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        waitpid(pid, nullptr, 0);
        return n + 1;
    }
};

template <typename T>
[[gnu::noinline]] int employ(T worker, int n) {
    return worker(n) + 1;
}

struct Cleaner {
    ~Cleaner() { Smith().forge(2); }
};

[[gnu::noinline]] void fail() {
    Cleaner cleaner;
    throw std::runtime_error("on the way");
}

}  // namespace workshop

int main() {
    std::function<int(int)> job = [](int n) { return workshop::Smith().forge(n); };
    int n = workshop::employ(job, 1);
    try {
        workshop::fail();
    } catch (const std::runtime_error &) {
        n++;
    }
    return n != 4;
}
