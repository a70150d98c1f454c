// SPDX-License-Identifier: MIT
// oracle: starts a program and writes down what the kernel says about it and its descendants.
//
//   oracle [--set NAME=VALUE]... [--limit SECONDS] [--times] [--buffer BYTES] [--deaf] RECORD PROGRAM [ARGUMENT]...
//
// The witness is the process events connector (netlink_connector, CN_IDX_PROC): every fork, exec, uid, gid
// and exit of every task of the machine. The program's tree is taken from these events alone. What is
// compared with them, and what it means, is in compare.py.
//
// Status 0: RECORD holds the run. 2: usage, or no program. 3: an event was lost (ENOBUFS, or a gap in a
// CPU's sequence), the run says nothing. 4: this process may not listen; the reason is on stdout.
// 5: something of the tree lived on after the limit; it was killed.
// --times: each line of RECORD ends with the event's time, CLOCK_MONOTONIC in nanoseconds.
// --buffer and --deaf (nothing is read before the program's end) are for the test that a loss is noticed.
#include <fcntl.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

namespace {

enum Status { recorded = 0, usage = 2, lost = 3, not_permitted = 4, timed_out = 5 };

struct Options {
    std::vector<const char *> set;
    long limit = 120;
    int buffer = 256 << 20;
    bool deaf = false, times = false;
    const char *record = nullptr;
    char **program = nullptr;
};

[[noreturn]] void end(Status status, const std::string &why) {
    printf("%s\n", why.c_str());
    fflush(stdout);
    _exit(status);
}

std::string with_errno(const char *what) { return std::string(what) + ": " + strerror(errno); }

int64_t seconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

// --- the connector

class Connector {
  public:
    void listen(int buffer) {
        fd_ = socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
        if (fd_ < 0) end(not_permitted, with_errno("no connector"));
        // Beyond the machine's limit for those who may; a large one, since a reader that is not scheduled for a
        // while loses what no longer fits.
        if (setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0)
            setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        sockaddr_nl address = {};
        address.nl_family = AF_NETLINK;
        address.nl_groups = CN_IDX_PROC;
        if (bind(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
            end(not_permitted, with_errno("the process events connector (CAP_NET_ADMIN)"));
        say(PROC_CN_MCAST_LISTEN);
        await_first();
    }

    void stop() { say(PROC_CN_MCAST_IGNORE); }

    // The next event, or null when `milliseconds` passed without one.
    const proc_event *next(int milliseconds) {
        const cn_msg *message = receive(milliseconds);
        if (!message) return nullptr;
        auto *event = reinterpret_cast<const proc_event *>(message->data);
        // Each CPU counts its own; nothing is filtered, so a number that is left out is an event that is lost. The
        // answers to those who begin or end to listen (PROC_EVENT_NONE) count too, in older kernels not: CPU -1.
        if (event->cpu == UINT32_MAX) return event;
        auto [known, first] = sequence_.try_emplace(event->cpu, message->seq);
        if (!first && message->seq != known->second + 1)
            end(lost, "lost: CPU " + std::to_string(event->cpu) + " went from " + std::to_string(known->second) +
                          " to " + std::to_string(message->seq));
        known->second = message->seq;
        return event;
    }

  private:
    int fd_ = -1;
    std::map<uint32_t, uint32_t> sequence_;
    alignas(NLMSG_ALIGNTO) char received_[8192];

    void say(proc_cn_mcast_op operation) {
        struct {
            alignas(NLMSG_ALIGNTO) nlmsghdr header;
            char body[sizeof(cn_msg) + sizeof operation];
        } request = {};
        cn_msg message = {};
        message.id = {CN_IDX_PROC, CN_VAL_PROC};
        message.len = sizeof operation;
        memcpy(request.body, &message, sizeof message);
        memcpy(request.body + sizeof message, &operation, sizeof operation);
        request.header.nlmsg_len = NLMSG_LENGTH(sizeof request.body);
        request.header.nlmsg_type = NLMSG_DONE;
        if (send(fd_, &request, request.header.nlmsg_len, 0) < 0)
            end(not_permitted, with_errno("the process events connector"));
    }

    const cn_msg *receive(int milliseconds) {
        for (;;) {
            pollfd ready = {fd_, POLLIN, 0};
            if (poll(&ready, 1, milliseconds) <= 0) return nullptr;
            sockaddr_nl from = {};
            socklen_t length = sizeof from;
            ssize_t size = recvfrom(fd_, received_, sizeof received_, 0, reinterpret_cast<sockaddr *>(&from), &length);
            if (size < 0 && errno == EINTR) continue;
            if (size < 0) end(lost, with_errno("lost"));
            auto *header = reinterpret_cast<const nlmsghdr *>(received_);
            // Only the kernel's word counts.
            if (from.nl_pid != 0 || !NLMSG_OK(header, (size_t)size)) continue;
            auto *message = static_cast<const cn_msg *>(NLMSG_DATA(header));
            if (message->id.idx == CN_IDX_PROC && message->id.val == CN_VAL_PROC) return message;
        }
    }

    // Whether events come: that of a child's end. In another pid or user namespace than the first none do, and
    // the kernel's own answer has no number of ours in newer kernels.
    void await_first() {
        pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, nullptr, 0);
        for (int64_t deadline = seconds() + 5; seconds() < deadline;) {
            const proc_event *event = next(1000);
            if (event && event->what == proc_event::PROC_EVENT_EXIT && event->event_data.exit.process_pid == child)
                return;
        }
        end(not_permitted, "the process events connector is silent: CAP_NET_ADMIN in the first pid and user namespace");
    }
};

// --- the tree, from the kernel's events alone

class Tree {
  public:
    explicit Tree(bool times) : times_(times) {}

    void begin(pid_t root) {
        root_ = root;
        line("root", {root});
    }

    bool ended() const { return living_ == 0 && born_ > 0; }

    void take(const proc_event &event) {
        const auto &data = event.event_data;
        now_ = (int64_t)event.timestamp_ns;
        switch (event.what) {
            case proc_event::PROC_EVENT_FORK: take_fork(data.fork); break;
            case proc_event::PROC_EVENT_EXEC:
                if (has(data.exec.process_tgid)) line("exec", {data.exec.process_pid, data.exec.process_tgid});
                break;
            case proc_event::PROC_EVENT_UID:
                if (has(data.id.process_tgid))
                    line("uid", {data.id.process_pid, data.id.process_tgid, data.id.r.ruid, data.id.e.euid});
                break;
            case proc_event::PROC_EVENT_GID:
                if (has(data.id.process_tgid))
                    line("gid", {data.id.process_pid, data.id.process_tgid, data.id.r.rgid, data.id.e.egid});
                break;
            case proc_event::PROC_EVENT_EXIT: take_exit(data.exit); break;
            default: break;
        }
    }

    void kill_all() const {
        for (auto [tgid, tasks] : tasks_)
            if (tasks > 0) kill(tgid, SIGKILL);
    }

    bool write(const char *path, int status) const {
        FILE *file = fopen(path, "we");
        if (!file) return false;
        for (const std::string &text : lines_) fprintf(file, "%s\n", text.c_str());
        fprintf(file, "status %d\n", status);
        return fclose(file) == 0;
    }

  private:
    const bool times_;
    int64_t now_ = 0;
    pid_t root_ = 0;
    long born_ = 0, living_ = 0;
    // By process: births less exits. An exec by a thread moves a task to its leader's pid, but each task that is
    // born exits once all the same.
    std::map<pid_t, int> tasks_;
    std::vector<std::string> lines_;

    bool has(pid_t tgid) const {
        auto found = tasks_.find(tgid);
        return found != tasks_.end() && found->second > 0;
    }

    void line(const char *kind, std::initializer_list<int64_t> numbers) {
        std::string text = kind;
        for (int64_t number : numbers) text.append(1, ' ').append(std::to_string(number));
        if (times_) text.append(1, ' ').append(std::to_string(now_));
        lines_.push_back(text);
    }

    // The kernel names as parent the parent of the process for a thread, and with CLONE_PARENT the creator's own:
    // siblings of the root are children of this process.
    template <typename Fork>
    void take_fork(const Fork &fork) {
        bool thread = fork.child_pid != fork.child_tgid;
        bool ours = thread ? has(fork.child_tgid)
                           : has(fork.parent_tgid) || fork.child_pid == root_ || (fork.parent_tgid == getpid() && born_);
        if (!ours) return;
        tasks_[fork.child_tgid]++;
        born_++;
        living_++;
        line("fork", {fork.child_pid, fork.child_tgid, fork.parent_pid, fork.parent_tgid});
    }

    template <typename Exit>
    void take_exit(const Exit &exit) {
        if (!has(exit.process_tgid)) return;
        tasks_[exit.process_tgid]--;
        living_--;
        line("exit", {exit.process_pid, exit.process_tgid, exit.exit_code, exit.parent_tgid});
    }
};

// --- the program

// It starts when it is told to, so that its pid is known before its first event is looked at.
pid_t start(const Options &options, int &ret_go) {
    int go[2];
    if (pipe2(go, O_CLOEXEC) != 0) end(usage, with_errno("pipe"));
    pid_t pid = fork();
    if (pid < 0) end(usage, with_errno("fork"));
    if (pid == 0) {
        char byte;
        close(go[1]);
        setsid();
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);  // ours is for the reason alone
        while (read(go[0], &byte, 1) < 0 && errno == EINTR) {
        }
        for (const char *pair : options.set) putenv(const_cast<char *>(pair));
        execvp(options.program[0], options.program);
        _exit(126);
    }
    ret_go = go[1];
    return pid;
}

Options read_options(char **argument) {
    Options options;
    for (argument++; *argument && strncmp(*argument, "--", 2) == 0; argument++) {
        std::string name = *argument;
        if (name == "--deaf")
            options.deaf = true;
        else if (name == "--times")
            options.times = true;
        else if (!argument[1])
            end(usage, name + " needs a value");
        else if (name == "--set")
            options.set.push_back(*++argument);
        else if (name == "--limit")
            options.limit = atol(*++argument);
        else if (name == "--buffer")
            options.buffer = atoi(*++argument);
        else
            end(usage, "unknown option " + name);
    }
    if (!argument[0] || !argument[1]) end(usage, "usage: oracle [OPTION]... RECORD PROGRAM [ARGUMENT]...");
    options.record = argument[0];
    options.program = argument + 1;
    return options;
}

}  // namespace

int main(int, char **argv) {
    Options options = read_options(argv);
    // Orphans of the tree come to us: nothing of it is left when we have no child.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    Connector connector;
    connector.listen(options.buffer);
    int go;
    pid_t root = start(options, go);
    Tree tree(options.times);
    tree.begin(root);
    close(go);
    int root_status = 0;
    auto reap = [&](int flags) {
        for (int status; pid_t pid = waitpid(-1, &status, flags);) {
            if (pid < 0 && errno == EINTR) continue;
            if (pid < 0) return;
            if (pid == root) root_status = status;
        }
    };
    if (options.deaf) reap(0);
    bool late = false;
    for (int64_t deadline = seconds() + options.limit; !tree.ended();) {
        if (const proc_event *event = connector.next(200)) tree.take(*event);
        reap(WNOHANG);
        if (seconds() < deadline) continue;
        if (late) break;
        late = true;
        deadline += 5;
        tree.kill_all();
    }
    connector.stop();
    reap(WNOHANG);
    if (!tree.write(options.record, root_status)) end(usage, with_errno(options.record));
    if (late) end(timed_out, "still running after " + std::to_string(options.limit) + " s");
    return recorded;
}
