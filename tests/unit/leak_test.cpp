// SPDX-License-Identifier: MIT
// The leak watcher: whom it tells of at an end, whom not, and whom it ends. The session is a stand-in, the processes are real
// ones. Whole programs are in tests/watchers.
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <regex>

#include "watcher_host.hpp"

namespace {

uint64_t boottime_ns() {
    timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return uint64_t(now.tv_sec) * 1000000000 + uint64_t(now.tv_nsec);
}

// A child of the test's. It has done what it is to do when the constructor returns.
class Child {
  public:
    enum Kind { runs, has_ended };

    explicit Child(Kind kind, void (*function)() = nullptr) {
        int ready[2];
        EXPECT_EQ(pipe(ready), 0);
        pid = fork();
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(ready[0]);
            if (function) function();
            if (kind == has_ended) _exit(0);
            if (write(ready[1], "", 1) != 1) _exit(1);
            for (;;) pause();
        }
        close(ready[1]);
        char byte;
        EXPECT_EQ(read(ready[0], &byte, 1), kind == runs ? 1 : 0);
        close(ready[0]);
        siginfo_t info;
        if (kind == has_ended) waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT);
    }
    ~Child() {
        if (reaped_) return;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
    }
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;

    // The signal that has ended it; 0: it runs.
    int ended_by(bool wait) {
        int status;
        reaped_ = waitpid(pid, &status, wait ? 0 : WNOHANG) == pid;
        return reaped_ ? WTERMSIG(status) : 0;
    }

    pid_t pid;

  private:
    bool reaped_ = false;
};

class Leak : public testing::Test {
  public:
    void SetUp() override { reset_host(); }

    // This process, the session's first.
    static task_watch self() {
        task_watch task = make_task();
        task.id = 1;
        task.parent_id = 0;
        task.pid = task.tgid = task.by = getpid();
        task.ppid = getppid();
        task.call = "exit";
        task.boottime_ns = boottime_ns();
        task.start_ns = task.boottime_ns - 1000000;
        return task;
    }
    // A task of the session that lives, made by fork.
    task_watch add(pid_t pid, uint64_t id, uint64_t parent_id = 1) {
        task_watch task = make_task();
        task.pid = task.tgid = pid;
        task.id = id;
        task.parent_id = parent_id;
        task.start_ns = boottime_ns();
        watcher.notify(WATCH_TASK_CLONE, task);
        host.living[host.living_count++] = task;
        return task;
    }
    std::string end(task_watch task, unsigned long flags = 0) {
        EXPECT_EQ(watcher.notify(WATCH_TASK_EXIT | flags, task), NOTIFY_DONE);
        return host.take();
    }
    std::string end() { return end(self()); }

    // "PID (what it is called): ..." of the one line.
    static void expect_line(const std::string &text, const std::string &pattern) {
        EXPECT_TRUE(std::regex_match(text, std::regex("leak: " + pattern + "\n"))) << text << "\n" << pattern;
    }
    static std::string pid(const Child &child) { return "pid " + std::to_string(child.pid); }
    static inline const std::string us = " by unit-leak \\(pid " + std::to_string(getpid()) + "\\)";

    Watcher watcher{"leak"};
};

TEST_F(Leak, AsksForBeginningsAndEndsAlone) {
    EXPECT_EQ(watcher.descriptor().events, unsigned(WATCH_MASK_CLONE | WATCH_MASK_EXIT));
    EXPECT_EQ(watcher.descriptor().priority, WATCH_PRIORITY_OBSERVER);
}

TEST_F(Leak, KeepsTheCallThatMadeATaskInItsCell) {
    ASSERT_EQ(watcher.init(""), "");
    task_watch task = make_creation(WATCH_TASK_CLONE, "posix_spawnp_of_a_longer_name");
    watcher.notify(WATCH_TASK_CLONE, task);
    EXPECT_STREQ(host.cells[task.id], "posix_spawnp_of");
    host.session = false;
    EXPECT_EQ(watcher.notify(WATCH_TASK_CLONE, task), NOTIFY_DONE);
}

TEST_F(Leak, TellsOfAProcessThatRunsOn) {
    ASSERT_EQ(watcher.init(""), "");
    Child child(Child::runs);
    add(child.pid, 2);
    expect_line(end(), "still running: " + pid(child) + " \\(.*unit-leak.*\\), \\d+\\.\\d s old, made by fork" + us);
    EXPECT_EQ(host.failed, 0u);
    EXPECT_EQ(child.ended_by(false), 0);
}

TEST_F(Leak, TellsOfNobodyWhoIsNotLeftOver) {
    ASSERT_EQ(watcher.init("fail=1"), "");
    EXPECT_EQ(end(), "") << "nobody";
    add(getpid(), 1, 0);
    EXPECT_EQ(end(), "") << "the one that ends";
    Child child(Child::runs);
    add(child.pid, 2);
    host.living[1].tgid = 1;
    EXPECT_EQ(end(), "") << "a thread of another process";
    {
        Child other(Child::has_ended);
        host.living[1].pid = host.living[1].tgid = other.pid;
        other.ended_by(true);
    }
    EXPECT_EQ(end(), "") << "one that has gone since";
    EXPECT_EQ(host.failed, 0u);
}

TEST_F(Leak, LooksAtTheEndOfTheFirstProcessAlone) {
    ASSERT_EQ(watcher.init(""), "");
    Child child(Child::runs);
    add(child.pid, 3);
    task_watch task = self();
    task.id = 2;
    EXPECT_EQ(end(task), "") << "another process";
    task = self();
    task.pid++;
    EXPECT_EQ(end(task), "") << "a thread";
    for (uint32_t context : {TASKWATCH_IN_VFORK_CHILD, TASKWATCH_FOREIGN_TLS, TASKWATCH_QUIET}) {
        task = self();
        task.context = context;
        EXPECT_EQ(end(task), "") << context;
    }
    EXPECT_NE(end(self(), WATCH_ON_BEHALF), "") << "it was killed, and somebody tells it";
}

TEST_F(Leak, AtTheEndOfEachProcessItTellsOfItsOwnChildren) {
    ASSERT_EQ(watcher.init("scope=process"), "");
    Child child(Child::runs);
    add(child.pid, 3, 2);
    EXPECT_EQ(end(), "");
    task_watch task = self();
    task.id = 2;
    expect_line(end(task), "still running: " + pid(child) + " .*, made by fork" + us);
    EXPECT_EQ(end(task, WATCH_ON_BEHALF), "") << "whoever tells that is another one";
}

TEST_F(Leak, AnOrphanIsOneWhoseCreatorDoesNotLive) {
    ASSERT_EQ(watcher.init(""), "");
    Child orphan(Child::runs), creator(Child::runs);
    add(orphan.pid, 5, 4);
    expect_line(end(), "still running: " + pid(orphan) + " .* s old, an orphan, made by fork by a process that has ended");
    add(creator.pid, 4, 1);
    std::string text = end();
    expect_line(text.substr(0, text.find('\n') + 1),
                "still running: " + pid(orphan) + " .* s old, made by fork by unit-leak \\(pid " +
                    std::to_string(creator.pid) + "\\) <" + us.substr(3));
}

TEST_F(Leak, TellsOfAChildThatWasNotWaitedFor) {
    ASSERT_EQ(watcher.init(""), "");
    Child child(Child::has_ended, [] { prctl(PR_SET_NAME, "a) Z 1 (b"); });
    std::string not_waited = "not waited for: " + pid(child) + " \\(a\\) Z 1 \\(b\\), \\d+\\.\\d s old, made by ";
    expect_line(end(), not_waited + "a call that was not seen" + us);
    task_watch task = add(child.pid, 2);
    host.living_count = 0;  // it has told its end
    watcher.notify(WATCH_TASK_EXIT, task);
    expect_line(end(), not_waited + "fork" + us);
    EXPECT_EQ(end(self(), WATCH_ON_BEHALF), "") << "whose zombies they are only the dying one sees";
    host.living[host.living_count++] = task;
    expect_line(end(), "not waited for: " + pid(child) + " .*fork" + us);  // nobody has told its end yet: one line all the same
    child.ended_by(true);
    EXPECT_EQ(end(), "");
}

TEST_F(Leak, RemembersTheNewestEnds) {
    ASSERT_EQ(watcher.init(""), "");
    Child child(Child::has_ended);
    task_watch task = add(child.pid, 2);
    host.living_count = 0;
    watcher.notify(WATCH_TASK_EXIT, task);
    for (int n = 0; n < 239; n++) {
        task_watch other = task;
        other.pid = other.tgid = 4000000 + n;
        watcher.notify(WATCH_TASK_EXIT, other);
    }
    expect_line(end(), "not waited for: .* made by fork" + us);
    task.pid = task.tgid = 5000000;
    watcher.notify(WATCH_TASK_EXIT, task);
    expect_line(end(), "not waited for: .* made by a call that was not seen" + us);
}

TEST_F(Leak, AFindingFailsTheSessionIfThatIsAskedFor) {
    ASSERT_EQ(watcher.init("fail=1"), "");
    end();
    EXPECT_EQ(host.failed, 0u);
    Child child(Child::has_ended);
    EXPECT_NE(end(), "");
    EXPECT_EQ(host.failed, 1u);
}

// In the environment of a session whose memory is this segment.
class LeakThatKills : public Leak {
  public:
    void SetUp() override {
        Leak::SetUp();
        segment = shmget(IPC_PRIVATE, 4096, 0600);
        ASSERT_GE(segment, 0);
        memory = shmat(segment, nullptr, 0);
        shmctl(segment, IPC_RMID, nullptr);
        setenv("TASKWATCH_SESSION", (std::to_string(segment) + ":secret").c_str(), 1);
    }
    void TearDown() override {
        shmdt(memory);
        unsetenv("TASKWATCH_SESSION");
    }

    static inline int segment;
    static inline void *memory;
};

TEST_F(LeakThatKills, EndsWhatHasTheSessionsMemory) {
    for (auto [name, signal] : {std::pair("TERM", SIGTERM), std::pair("KILL", SIGKILL)}) {
        Watcher fresh("leak");
        ASSERT_EQ(fresh.init(std::string("kill=") + name), "");
        Child child(Child::runs), bystander(Child::runs);
        host.living_count = 0;
        add(child.pid, 2);
        task_watch task = self();
        fresh.notify(WATCH_TASK_EXIT, task);
        expect_line(host.take(), "still running: " + pid(child) + " .*" + us + ": SIG" + name + " was sent");
        EXPECT_EQ(child.ended_by(true), signal);
        EXPECT_EQ(bystander.ended_by(false), 0);
    }
}

TEST_F(LeakThatKills, EndsNobodyWithoutProof) {
    ASSERT_EQ(watcher.init("kill=KILL"), "");
    Child without_memory(Child::runs, [] { shmdt(memory); });
    add(without_memory.pid, 2);
    expect_line(end(), "still running: .*: not ended: nothing proves that it is of this session");
    Child younger(Child::runs);
    host.living_count = 0;
    add(younger.pid, 3);
    host.living[0].start_ns -= 10000000000;
    expect_line(end(), "still running: .*: not ended: another process has its number");
    if (geteuid() == 0) {
        Child elsewhere(Child::runs, [] {
            if (unshare(CLONE_NEWPID) != 0) _exit(1);
            pid_t inside = fork();
            if (inside != 0) {
                waitpid(inside, nullptr, 0);
                _exit(0);
            }
            prctl(PR_SET_PDEATHSIG, SIGKILL);
        });
        pid_t inside = 0;
        std::ifstream("/proc/" + std::to_string(elsewhere.pid) + "/task/" + std::to_string(elsewhere.pid) + "/children") >> inside;
        ASSERT_GT(inside, 0);
        host.living_count = 0;
        add(inside, 4);
        expect_line(end(), "still running: .*: not ended: it is in another pid namespace");
    }
    EXPECT_EQ(without_memory.ended_by(false) + younger.ended_by(false), 0);
}

TEST_F(Leak, WithoutASessionsMemoryNobodyIsProven) {
    unsetenv("TASKWATCH_SESSION");
    ASSERT_EQ(watcher.init("kill=KILL"), "");
    Child child(Child::runs);
    add(child.pid, 2);
    expect_line(end(), "still running: .*: not ended: nothing proves that it is of this session");
    EXPECT_EQ(child.ended_by(false), 0);
}

TEST_F(Leak, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {
        {"scope=all", "scope: 'all' is not a scope; accepted: root, process"},
        {"fail=2", "fail: '2' is not a switch; accepted: 0, 1"},
        {"kill=HUP", "kill: 'HUP' is not a signal that ends; accepted: TERM, KILL"},
        {"kill=KILL,scope=process", "kill: only with scope=root: what one process leaves may be another's"},
        {"x=1", "option: 'x' is unknown; accepted: scope, fail, kill"},
    };
    for (auto &c : cases) EXPECT_EQ(Watcher("leak").init(c.options), c.refusal);
}

TEST_F(LeakThatKills, KeepsToOneKilobyteOfStack) {
    ASSERT_EQ(watcher.init("kill=TERM,fail=1"), "");
    Child child(Child::runs, [] { signal(SIGTERM, SIG_IGN); }), zombie(Child::has_ended);
    add(child.pid, 2);
    size_t used = stack_used(
        [](void *context) {
            task_watch task = self();
            static_cast<Watcher *>(context)->notify(WATCH_TASK_EXIT, task);
        },
        &watcher);
    EXPECT_EQ(host.writes, 4u);
    EXPECT_LT(used, 1024u + 128 + 2 * sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
