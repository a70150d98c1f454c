// SPDX-License-Identifier: MIT
// sweep: runs a program under ptrace and kills one of its processes at its N-th point, or fails a system call there.
//
//   sweep --role creator|child|both|all --point N [--breakpoints FILE | --fail ERRNO --library PATH] [--set NAME=VALUE]...
//         FOLDER PROGRAM [ARGUMENT]...
//
// A point is a system call (before it and after it, two points) or, with --breakpoints, the entry of a function of the
// library: FILE has its path, then an offset a line. The creator is the process that makes the system call "begin"
// (getpgid(-1001), which fails); its points count from there. The children are all that descend from it later. A process
// that makes the call "await" (getpgid(-1002)) is stopped until no other traced one is left. "both" are creator and children, "all" are
// all, from the first instruction.
//
// With --fail the points are the system calls that the library's own code makes and that can fail; the N-th is not made, and
// returns this error.
//
// FOLDER/kernel: births and ends, as the oracle writes them (kernel.py). FOLDER/kills: what was killed.
// stdout: "killed PID at WHAT", "failed in PID at WHAT", or "ended after N points". Status 0, or 3: it hung (stdout says who, where), 2: usage.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

constexpr long begin_mark = -1001, await_mark = -1002;
constexpr int limit_s = 20;
enum class Role { none, creator, child, both, all };

struct Options {
    Role role = Role::none;
    long point = 0;
    const char *breakpoints = nullptr;
    int fail = 0;
    std::string library;
    std::vector<char *> set;
    std::string folder;
    char **program = nullptr;
};

[[noreturn]] void end(int status, const std::string &why) {
    printf("%s\n", why.c_str());
    fflush(stdout);
    _exit(status);
}

int64_t now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * int64_t{1000000000} + t.tv_nsec;
}

long field_of(pid_t tid, const char *file, const char *key) {
    std::ifstream stream("/proc/" + std::to_string(tid) + "/" + file);
    for (std::string word; stream >> word;)
        if (long value; word == key && stream >> value) return value;
    return 0;
}

// --- the functions of the library, as offsets in its file

struct Breakpoints {
    std::string library;
    std::vector<uint64_t> offsets;

    void read(const char *file) {
        std::ifstream stream(file);
        std::getline(stream, library);
        for (uint64_t offset; stream >> std::hex >> offset;) offsets.push_back(offset);
        if (offsets.empty()) end(2, std::string("no breakpoints in ") + file);
    }

    // Where the library is in this process, 0: nowhere yet.
    uint64_t base_in(pid_t pid) const {
        std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
        for (std::string line; std::getline(maps, line);)
            if (line.size() > library.size() && line.ends_with(library) && line.find(" 00000000 ") != std::string::npos)
                return strtoull(line.c_str(), nullptr, 16);
        return 0;
    }
};

// --- who is traced

struct Task {
    pid_t tgid = 0;
    Role role = Role::none;
    bool known = false;     // its birth was reported by its creator
    bool waiting = false;   // stopped before that
    bool in_call = false;
    bool awaiting = false;  // stopped at "await"
    bool patched = false;
    uint64_t base = 0;
    uint64_t own_first = 0, own_last = 0;  // the library's text
    bool fails = false;     // this system call is not made
    int exit_status = -1;
};

class Tracer {
  public:
    explicit Tracer(const Options &options) : options_(options) {
        if (options.breakpoints) breakpoints_.read(options.breakpoints);
        kernel_ = fopen((options.folder + "/kernel").c_str(), "we");
        kills_ = fopen((options.folder + "/kills").c_str(), "we");
        if (!kernel_ || !kills_) end(2, options.folder + ": " + strerror(errno));
    }

    void run() {
        start();
        for (;;) {
            int status;
            pid_t tid = waitpid(-1, &status, __WALL);
            if (tid < 0 && errno == EINTR) hung();
            if (tid < 0) break;
            take(tid, status);
            let_awaiting_go();
        }
        fclose(kernel_);
        fclose(kills_);
        if (killed_.empty())
            printf("ended after %ld points\n", points_);
        else
            printf("%s\n", killed_.c_str());
    }

  private:
    const Options &options_;
    Breakpoints breakpoints_;
    FILE *kernel_, *kills_;
    std::map<pid_t, Task> tasks_;
    pid_t root_ = 0;
    long points_ = 0;
    std::string killed_;
    std::map<uint64_t, uint8_t> original_;  // first byte of each function: by offset

    void start() {
        int go[2];
        if (pipe2(go, O_CLOEXEC) != 0) end(2, "pipe");
        root_ = fork();
        if (root_ == 0) {
            char byte;
            setsid();
            if (read(go[0], &byte, 1) != 1) _exit(126);
            for (char *pair : options_.set) putenv(pair);
            execvp(options_.program[0], options_.program);
            _exit(126);
        }
        long wanted = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                      PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL;
        if (ptrace(PTRACE_SEIZE, root_, 0, wanted) != 0) end(2, std::string("ptrace: ") + strerror(errno));
        fprintf(kernel_, "root %d\n", root_);
        born(root_, root_, getpid(), Role::none);
        ptrace(PTRACE_INTERRUPT, root_, 0, 0);
        if (write(go[1], "", 1) != 1) end(2, "write");
        close(go[0]);
        close(go[1]);
    }

    void born(pid_t tid, pid_t tgid, pid_t parent, Role role) {
        Task &task = tasks_[tid];
        task.tgid = tgid;
        task.role = role;
        task.known = true;
        fprintf(kernel_, "fork %d %d %d %d %" PRId64 "\n", tid, tgid, parent, parent, now(CLOCK_MONOTONIC));
    }

    void died(pid_t tid, int status) {
        fprintf(kernel_, "exit %d %d %d 0 %" PRId64 "\n", tid, tasks_[tid].tgid, status, now(CLOCK_MONOTONIC));
        tasks_.erase(tid);
    }

    void go_on(pid_t tid, int number = 0) { ptrace(PTRACE_SYSCALL, tid, 0, number); }

    void take(pid_t tid, int status) {
        if (!WIFSTOPPED(status)) {
            if (tasks_.contains(tid)) died(tid, tasks_[tid].exit_status >= 0 ? tasks_[tid].exit_status : status);
            return;
        }
        Task &task = tasks_[tid];
        int number = WSTOPSIG(status), event = status >> 16;
        if (!task.known) {
            task.waiting = true;
            return;
        }
        if (number == (SIGTRAP | 0x80)) return take_call(tid, task);
        if (event) return take_event(tid, task, event);
        if (number == SIGTRAP && take_breakpoint(tid, task)) return;
        go_on(tid, number);
    }

    void take_event(pid_t tid, Task &task, int event) {
        unsigned long message = 0;
        ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
        switch (event) {
            case PTRACE_EVENT_FORK:
            case PTRACE_EVENT_VFORK:
            case PTRACE_EVENT_CLONE: take_birth(tid, task, (pid_t)message); break;
            case PTRACE_EVENT_EXEC:
                if ((pid_t)message != tid) {
                    // A thread goes on as the leader, whose end nobody reports.
                    Task moved = tasks_[(pid_t)message];
                    tasks_.erase((pid_t)message);
                    fprintf(kernel_, "exit %d %d 0 0 %" PRId64 "\n", tid, tid, now(CLOCK_MONOTONIC));
                    tasks_[tid] = moved;
                }
                tasks_[tid].patched = false;
                tasks_[tid].base = tasks_[tid].own_first = tasks_[tid].own_last = 0;
                // Of an exec the exit of the system call is still to come.
                tasks_[tid].in_call = true;
                break;
            case PTRACE_EVENT_EXIT: task.exit_status = (int)message; break;
            default: break;
        }
        go_on(tid);
    }

    void take_birth(pid_t tid, Task &task, pid_t child) {
        auto tgid = (pid_t)field_of(child, "status", "Tgid:");
        if (tgid == 0) tgid = child;  // gone again: only a process can be
        Role role = task.role == Role::none ? Role::none : tgid == task.tgid ? task.role : Role::child;
        bool waiting = tasks_.contains(child) && tasks_[child].waiting;
        uint64_t base = task.base;
        bool patched = task.patched;
        const Task &maker = task;
        uint64_t first = maker.own_first, last = maker.own_last;
        born(child, tgid, task.tgid, role);
        tasks_[child].base = base;
        tasks_[child].own_first = first;
        tasks_[child].own_last = last;
        tasks_[child].patched = patched;
        tasks_[child].waiting = false;
        if (waiting) go_on(child);
        (void)tid;
    }

    void take_call(pid_t tid, Task &task) {
        user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, tid, 0, &registers) != 0) return;
        task.in_call = !task.in_call;
        if (task.fails && !task.in_call) {
            task.fails = false;
            registers.rax = (unsigned long)-options_.fail;
            ptrace(PTRACE_SETREGS, tid, 0, &registers);
        }
        auto number = (long)registers.orig_rax;
        auto argument = (int)registers.rdi;
        if (task.in_call && number == SYS_getpgid && argument == begin_mark) {
            task.role = Role::creator;
            patch(tid, task);
            go_on(tid);
            return;
        }
        if (task.in_call && number == SYS_getpgid && argument == await_mark) {
            task.awaiting = true;
            return;
        }
        if (!task.in_call && number == SYS_mmap && task.role != Role::none && !task.patched) patch(tid, task);
        if (options_.fail) {
            if (task.in_call && counts(task) && is_own(tid, task, registers) && can_fail(number)) fail(tid, task, registers);
        } else if (counts(task)) {
            std::string what = (task.in_call ? "before system call " : "after system call ") + std::to_string(number);
            if (point(tid, task, what)) return;
        }
        go_on(tid);
    }

    bool counts(const Task &task) {
        if (!killed_.empty()) return false;
        return task.role == options_.role || options_.role == Role::all || (options_.role == Role::both && task.role != Role::none);
    }

    // Whether the library's own code makes this call.
    bool is_own(pid_t tid, Task &task, const user_regs_struct &registers) {
        if (!task.own_first) {
            std::ifstream maps("/proc/" + std::to_string(tid) + "/maps");
            for (std::string line; std::getline(maps, line);) {
                if (!line.ends_with(options_.library) || line.find("r-xp") == std::string::npos) continue;
                char *rest;
                task.own_first = strtoull(line.c_str(), &rest, 16);
                task.own_last = strtoull(rest + 1, nullptr, 16);
            }
        }
        return registers.rip >= task.own_first && registers.rip < task.own_last;
    }

    // By the manual these always succeed, or do not return.
    static bool can_fail(long number) {
        switch (number) {
            case SYS_getpid:
            case SYS_gettid:
            case SYS_getppid:
            case SYS_getuid:
            case SYS_geteuid:
            case SYS_getgid:
            case SYS_getegid:
            case SYS_rt_sigprocmask:
            case SYS_rt_sigreturn:
            case SYS_sched_yield:
            case SYS_exit:
            case SYS_exit_group: return false;
            default: return true;
        }
    }

    void fail(pid_t tid, Task &task, user_regs_struct &registers) {
        if (++points_ != options_.point) return;
        killed_ = "failed in " + std::to_string(task.tgid) + (tid == task.tgid ? "" : "'s thread") + " at point " +
                  std::to_string(points_) + ": system call " + std::to_string(registers.orig_rax);
        task.fails = true;
        registers.orig_rax = (unsigned long)-1;
        ptrace(PTRACE_SETREGS, tid, 0, &registers);
    }

    // True: it was killed here.
    bool point(pid_t tid, Task &task, const std::string &what) {
        if (++points_ != options_.point) return false;
        fprintf(kills_, "%" PRId64 " %d %d\n", now(CLOCK_BOOTTIME), task.tgid, SIGKILL);
        killed_ = "killed " + std::to_string(task.tgid) + (tid == task.tgid ? "" : "'s thread") + " at point " +
                  std::to_string(points_) + ": " + what;
        kill(task.tgid, SIGKILL);
        return true;
    }

    // --- breakpoints

    bool peek(pid_t tid, uint64_t address, uint8_t &ret) {
        iovec mine = {&ret, 1}, its = {reinterpret_cast<void *>(address), 1};
        return process_vm_readv(tid, &mine, 1, &its, 1, 0) == 1;
    }

    void poke(pid_t tid, uint64_t address, uint8_t byte) {
        errno = 0;
        uint64_t at = address & ~uint64_t{7};
        long word = ptrace(PTRACE_PEEKTEXT, tid, at, 0);
        if (errno) return;
        memcpy(reinterpret_cast<char *>(&word) + (address & 7), &byte, 1);
        ptrace(PTRACE_POKETEXT, tid, at, word);
    }

    void patch(pid_t tid, Task &task) {
        if (breakpoints_.offsets.empty() || task.patched) return;
        task.base = breakpoints_.base_in(tid);
        if (!task.base) return;
        task.patched = true;
        for (uint64_t offset : breakpoints_.offsets) {
            uint8_t byte = 0;
            if (!peek(tid, task.base + offset, byte)) {
                task.patched = false;  // its text is not there yet
                return;
            }
            if (byte != 0xcc) original_[offset] = byte;
            poke(tid, task.base + offset, 0xcc);
        }
    }

    bool take_breakpoint(pid_t tid, Task &task) {
        user_regs_struct registers;
        if (!task.base || ptrace(PTRACE_GETREGS, tid, 0, &registers) != 0) return false;
        uint64_t address = registers.rip - 1;
        auto found = original_.find(address - task.base);
        if (found == original_.end()) return false;
        char what[64];
        snprintf(what, sizeof what, "function +0x%" PRIx64, found->first);
        if (counts(task) && point(tid, task, what)) return true;
        registers.rip = address;
        ptrace(PTRACE_SETREGS, tid, 0, &registers);
        poke(tid, address, found->second);
        ptrace(PTRACE_SINGLESTEP, tid, 0, 0);
        int status;
        if (waitpid(tid, &status, __WALL) != tid) return true;
        if (!WIFSTOPPED(status)) {
            take(tid, status);
            return true;
        }
        poke(tid, address, 0xcc);
        if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0)
            go_on(tid);
        else
            take(tid, status);
        return true;
    }

    // --- the end

    void let_awaiting_go() {
        for (auto &[tid, task] : tasks_)
            if (task.awaiting && tasks_.size() == 1) {
                task.awaiting = false;
                go_on(tid);
            }
    }

    [[noreturn]] void hung() {
        std::string who = "hung after " + killed_ + ":";
        for (auto &[tid, task] : tasks_) {
            std::ifstream stream("/proc/" + std::to_string(tid) + "/syscall");
            std::string where;
            std::getline(stream, where);
            who += "\n  " + std::to_string(tid) + "/" + std::to_string(task.tgid) + (task.awaiting ? " awaits the others" : "") +
                   " in system call " + where;
            kill(task.tgid, SIGKILL);
        }
        end(3, who);
    }
};

Role role_of(const std::string &name) {
    for (auto [known, role] : {std::pair{"creator", Role::creator}, {"child", Role::child}, {"both", Role::both}, {"all", Role::all}})
        if (name == known) return role;
    end(2, "no role " + name);
}

Options read_options(char **argument) {
    Options options;
    for (argument++; *argument && strncmp(*argument, "--", 2) == 0; argument += 2) {
        std::string name = *argument;
        if (!argument[1]) end(2, name + " needs a value");
        if (name == "--role")
            options.role = role_of(argument[1]);
        else if (name == "--point")
            options.point = atol(argument[1]);
        else if (name == "--breakpoints")
            options.breakpoints = argument[1];
        else if (name == "--fail")
            options.fail = atoi(argument[1]);
        else if (name == "--library")
            options.library = argument[1];
        else if (name == "--set")
            options.set.push_back(argument[1]);
        else
            end(2, "unknown option " + name);
    }
    if (!argument[0] || !argument[1]) end(2, "usage: sweep --role ROLE --point N [OPTION]... FOLDER PROGRAM [ARGUMENT]...");
    options.folder = argument[0];
    options.program = argument + 1;
    return options;
}

}  // namespace

int main(int, char **argv) {
    Options options = read_options(argv);
    // Orphans come to us, and are seen to be gone.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    // waitpid() is interrupted when it has taken too long.
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, nullptr);
    alarm(limit_s);
    Tracer(options).run();
}
