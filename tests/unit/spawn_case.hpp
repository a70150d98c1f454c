// SPDX-License-Identifier: MIT
// One call of posix_spawn, the genuine one or ours, in a process of its own, and all that can be seen of it
// as text: what the caller got, and what the child found itself to be. Two texts are equal or they are not.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "spawn.hpp"
#include "spawn_probe.hpp"
#include "sys.hpp"

namespace spawn_case {

// The call to make. Prepare functions fill it in, in the process that makes it, in an empty folder.
struct Call {
    std::string folder;                 // the current one, absolute
    std::string program;                // absolute path of something that can be executed
    std::string file = "./probe";       // a link to `program`
    std::vector<std::string> arguments = {"probe", "", "a b"};
    std::string path;                   // PATH of the caller; "(unset)"
    bool search_path = false;           // posix_spawnp
    bool old_version = false;           // symbol version 2.2.5
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    bool pass_actions = true, pass_attributes = true;

    void set_flags(int flags) { posix_spawnattr_setflags(&attributes, short(flags)); }
};

using Prepare = void (*)(Call &);

struct Announced {
    volatile sig_atomic_t runs, code, status, sender_known;
    volatile uid_t uid;
};
inline Announced announced;

inline void watch_sigchld(int flags = 0) {
    struct sigaction action = {};
    action.sa_sigaction = [](int, siginfo_t *info, void *) {
        announced.runs = announced.runs + 1;
        announced.code = info->si_code;
        announced.status = info->si_status;
        announced.sender_known = info->si_pid > 0;
        announced.uid = info->si_uid;
    };
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(SIGCHLD, &action, nullptr);
}

inline taskwatch::SpawnRequest request_for(const char *file, char *const *argv, char *const *envp) {
    taskwatch::SpawnRequest request = {};
    request.file = file;
    request.argv = argv;
    request.envp = envp;
    request.held = [](void *, pid_t) { return 0; };
    request.exec = [](void *, const char *path, char *const *arguments, char *const *environment) {
        return int(-taskwatch::sys::call(SYS_execve, path, arguments, environment));
    };
    return request;
}

inline char true_program[] = "/bin/true";
inline char *const true_arguments[] = {true_program, nullptr};

inline taskwatch::SpawnRequest request_for_true() {
    return request_for(true_program, true_arguments, environ);
}

inline int refuse(void *, pid_t) { return EAGAIN; }
// As the wrapper calls it.
inline taskwatch::SpawnResult spawn_blocked(const taskwatch::SpawnRequest &request) {
    auto mask = taskwatch::sys::set_signal_mask(taskwatch::sys::all_signals);
    taskwatch::SpawnResult result = taskwatch::spawn(request, mask);
    taskwatch::sys::set_signal_mask(mask);
    return result;
}

using Spawner = int (*)(const Call &, pid_t *, char *const *argv, char *const *envp);

inline int own(const Call &call, pid_t *ret_pid, char *const *argv, char *const *envp) {
    taskwatch::SpawnRequest request = request_for(call.file.c_str(), argv, envp);
    request.actions = call.pass_actions ? &call.actions : nullptr;
    request.attributes = call.pass_attributes ? &call.attributes : nullptr;
    request.search_path = call.search_path;
    request.shell_fallback = call.old_version;
    if (!taskwatch::spawn_can_do(request.actions, request.attributes)) return -1;
    errno = 4711;
    taskwatch::SpawnResult result = spawn_blocked(request);
    if (errno != 4711 || result.vetoed || result.pid <= 0) return -2;
    if (!result.error) *ret_pid = result.pid;
    return result.error;
}

inline int genuine(const Call &call, pid_t *ret_pid, char *const *argv, char *const *envp) {
    auto function = call.search_path ? posix_spawnp : posix_spawn;
    if (call.old_version) {
        void *found = dlvsym(RTLD_DEFAULT, call.search_path ? "posix_spawnp" : "posix_spawn", "GLIBC_2.2.5");
        function = reinterpret_cast<decltype(function)>(found);
    }
    return function(ret_pid, call.file.c_str(), call.pass_actions ? &call.actions : nullptr,
                    call.pass_attributes ? &call.attributes : nullptr, argv, envp);
}

// A wait as the wrappers do it.
inline pid_t wait_for(pid_t pid, int *ret_status) {
    pid_t found;
    do found = waitpid(pid, ret_status, 0);
    while (found < 0 && errno == EINTR);
    if (found < 0 && errno == ECHILD && taskwatch::spawn_died_unseen(pid)) {
        found = waitpid(pid, ret_status, __WALL);
        taskwatch::spawn_forget_unseen(pid);
    }
    return found;
}

// In the process of its own: sets up, calls, describes.
inline std::string make(Call &call, Spawner spawner, Prepare prepare) {
    posix_spawn_file_actions_init(&call.actions);
    posix_spawnattr_init(&call.attributes);
    announced.runs = 0;  // those of the test that forked us
    prepare(call);
    if (!call.path.empty()) setenv("PATH", call.path.c_str(), 1);
    if (call.path == "(unset)") unsetenv("PATH");
    std::vector<char *> argv, envp;
    for (auto &argument : call.arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::string output = "PROBE_OUT=" + call.folder + "/state", program = "PROBE=" + call.program;
    envp = {output.data(), program.data(), nullptr};

    sigset_t before, after, pending;
    sigprocmask(SIG_BLOCK, nullptr, &before);
    pid_t pid = -7;
    int error = spawner(call, &pid, argv.data(), envp.data());
    sigprocmask(SIG_BLOCK, nullptr, &after);
    sigpending(&pending);

    char line[256];
    int status = -1;
    snprintf(line, sizeof line, "error %s, pid %s, mask %s\n",
             error > 0 ? strerrorname_np(error) : std::to_string(error).c_str(),
             pid == -7 ? "untouched" : "written",
             memcmp(&before, &after, 8) ? "changed" : "kept");
    std::string text = line;
    if (error) {  // otherwise a child that was quick may have sent its own already
        snprintf(line, sizeof line, "SIGCHLD pending %d, runs %d\n", sigismember(&pending, SIGCHLD),
                 int(announced.runs));
        text += line;
    } else {
        pid_t found = wait_for(pid, &status);
        const char *what = found == pid ? "found it" : strerrorname_np(errno);
        snprintf(line, sizeof line, "wait %s, status %x\n", what, status);
        text += line;
    }
    rlimit limit;  // a case may have left us without descriptors
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int rest = waitpid(-1, &status, __WALL | WNOHANG) == -1 ? errno : 0;
    snprintf(line, sizeof line, "runs %d, code %d, status %d, uid %d, sender %d; left to wait for: %s\n",
             int(announced.runs), int(announced.code), int(announced.status), int(announced.uid),
             int(announced.sender_known), rest == ECHILD ? "nothing" : "something");
    return text + line + contents(call.folder + "/state");
}

inline std::string replace_all(std::string text, const std::string &what, const std::string &with) {
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size())
        text.replace(at, what.size(), with);
    return text;
}

inline std::string program_path() { return link_target("/proc/self/exe"); }

// Runs `work` in a forked child in a fresh folder and returns what it returned, the folder's name as "@".
template <typename Work>
std::string in_a_process(Work work) {
    char folder[] = "/tmp/spawn_case.XXXXXX";
    int ends[2];
    if (!mkdtemp(folder) || pipe2(ends, O_CLOEXEC)) return "no folder or pipe";
    chmod(folder, 0777);
    fflush(nullptr);
    pid_t pid = fork();
    if (pid == 0) {
        int result = fcntl(ends[1], F_DUPFD_CLOEXEC, 700);  // out of the way of what a case does
        close(ends[0]);
        close(ends[1]);
        if (chdir(folder)) _exit(1);
        std::string text = work(std::string(folder));
        for (size_t at = 0; at < text.size();) {
            ssize_t written = write(result, text.data() + at, text.size() - at);
            if (written <= 0) _exit(1);
            at += size_t(written);
        }
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, size_t(n));
    close(ends[0]);
    int status = -1;
    waitpid(pid, &status, 0);
    if (status) text += "\nthe case itself ended with status " + std::to_string(status) + "\n";
    std::string remove = "rm -rf " + std::string(folder);
    if (system(remove.c_str())) text += "\nfolder left behind\n";
    return replace_all(text, folder, "@");
}

inline std::string observe(Spawner spawner, Prepare prepare) {
    std::string program = program_path();
    return in_a_process([&](const std::string &folder) {
        Call call;
        call.folder = folder;
        call.program = program;
        if (symlink(program.c_str(), "probe")) return std::string("no link");
        return make(call, spawner, prepare);
    });
}

// True if a test that needs root should go on. A skip says why, and is a failure where skips are.
inline bool is_root() { return geteuid() == 0; }
#define SKIP_UNLESS(condition, why)                                            \
    if (!(condition)) {                                                        \
        if (getenv("TASKWATCH_TESTS_MUST_RUN")) FAIL() << "must run: " << why; \
        GTEST_SKIP() << why;                                                   \
    }

inline void refuse_system_call(unsigned number, unsigned error) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter = {sizeof program / sizeof *program, program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) abort();
}

inline void allow_descriptors(rlim_t count) {
    rlimit limit = {count, 1024};
    setrlimit(RLIMIT_NOFILE, &limit);
}

inline int open_at(int wanted, const char *path, int flags) {
    int fd = open(path, flags, 0644);
    if (fd == wanted) return fd;
    dup3(fd, wanted, flags & O_CLOEXEC);
    close(fd);
    return wanted;
}

inline sigset_t set_of(std::initializer_list<int> signals) {
    sigset_t set;
    sigemptyset(&set);
    for (int signal : signals) sigaddset(&set, signal);
    return set;
}

inline void make_script(Call &call, const char *name) {
    write_file(name, "exec \"$PROBE\" \"$0\" \"$@\"\n", 0755);
    call.file = name;
}

// `expected`: what the text must have in it, so that two equal failures do not pass ("END" is its end).
struct NamedCase {
    const char *name;
    Prepare prepare;
    std::vector<const char *> expected;
    bool needs_root = false;
};

inline void PrintTo(const NamedCase &named, std::ostream *out) { *out << named.name; }

inline std::string name_of(const testing::TestParamInfo<NamedCase> &info) { return info.param.name; }

inline void expect_as_libc(const NamedCase &named) {
    SKIP_UNLESS(!named.needs_root || is_root(), "needs root");
    std::string expected = observe(genuine, named.prepare), ours = observe(own, named.prepare);
    EXPECT_EQ(ours, expected);
    expected += "END";
    for (const char *part : named.expected)
        EXPECT_NE(expected.find(part), std::string::npos) << part << "\n" << expected;
}

}  // namespace spawn_case
