// SPDX-License-Identifier: MIT
// The limit watcher: whom it counts, whom it refuses, what it says. The session's memory is a stand-in.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "watcher_host.hpp"

namespace {

class Limit : public testing::Test {
  public:
    void SetUp() override {
        reset_host();
        current = this;
    }

    static task_watch task_of(uint64_t id, unsigned long event) {
        task_watch task = make_creation(event);
        task.id = id;
        return task;
    }
    int tell(unsigned long action, uint64_t id) {
        task_watch task = task_of(id, get_watch_event(action));
        return watcher.notify(action, task);
    }
    bool init(uint64_t id) { return tell(WATCH_TASK_INIT, id) == NOTIFY_DONE; }
    void free(uint64_t id, unsigned long flags = 0) {
        EXPECT_EQ(tell(WATCH_TASK_FREE | flags, id), NOTIFY_DONE);
    }

    Watcher watcher{"limit"};
    static inline Limit *current;
};

TEST_F(Limit, RefusesTheTaskThatWouldBeOneTooManyAndTakesTheNextAfterAFree) {
    ASSERT_EQ(watcher.init("tasks=3"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    EXPECT_TRUE(init(3));
    EXPECT_EQ(tell(WATCH_TASK_INIT, 4), notifier_from_errno(-EAGAIN));
    free(4);  // of the refused one: it was not counted
    EXPECT_FALSE(init(5));
    free(2);
    EXPECT_TRUE(init(6));
    EXPECT_FALSE(init(7));
}

TEST_F(Limit, FailsWithTheErrorThatWasAskedFor) {
    ASSERT_EQ(watcher.init("tasks=1,error=ENOMEM"), "");
    EXPECT_TRUE(init(1));
    EXPECT_EQ(tell(WATCH_TASK_INIT, 2), notifier_from_errno(-ENOMEM));
}

TEST_F(Limit, DoesNotUncountATaskWhoseInitWasHiddenFromIt) {
    ASSERT_EQ(watcher.init("tasks=2"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    for (uint64_t id = 100; id < 110; id++) free(id);
    EXPECT_FALSE(init(3));
}

TEST_F(Limit, UncountsATaskOnceWhenItsFreeComesTwice) {
    ASSERT_EQ(watcher.init("tasks=2"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    free(1);
    free(1, WATCH_AGAIN | WATCH_ON_BEHALF);
    EXPECT_TRUE(init(3));
    EXPECT_FALSE(init(4));
}

TEST_F(Limit, LooksForTheDeadBeforeItRefuses) {
    ASSERT_EQ(watcher.init("tasks=2"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    EXPECT_EQ(host.sweeps, 0u) << "a system call a task: not for every creation";
    host.on_sweep = [] {
        current->free(1, WATCH_ON_BEHALF | WATCH_STATUS_UNKNOWN);
        return 1;
    };
    EXPECT_TRUE(init(3));
    EXPECT_EQ(host.sweeps, 1u);
    EXPECT_EQ(host.length, 0u) << "nobody was refused";
    host.on_sweep = nullptr;
    EXPECT_FALSE(init(4));
    EXPECT_EQ(host.sweeps, 2u);
}

TEST_F(Limit, SaysOnceWhoWasRefused) {
    ASSERT_EQ(watcher.init("tasks=1"), "");
    char before[16];
    prctl(PR_GET_NAME, before);
    prctl(PR_SET_NAME, "ma\x1bke");
    EXPECT_TRUE(init(1));
    EXPECT_FALSE(init(2));
    EXPECT_FALSE(init(3));
    prctl(PR_SET_NAME, before);
    EXPECT_EQ(host.take(), "limit: fork refused: 1 tasks are alive (tasks=1), asked for by 4242 (ma?ke)\n");
    EXPECT_EQ(host.last_path, nullptr) << "the session's standard error";
}

TEST_F(Limit, CountsInEveryProcessOfTheSessionTogether) {
    Watcher other("limit");
    ASSERT_EQ(watcher.init("tasks=2"), "");
    ASSERT_EQ(other.init("tasks=2"), "");
    EXPECT_TRUE(init(1));
    task_watch task = task_of(2, WATCH_TASK_INIT);
    EXPECT_EQ(other.notify(WATCH_TASK_INIT, task), NOTIFY_DONE);
    EXPECT_FALSE(init(3));
    // Made here, freed there.
    task = task_of(1, WATCH_TASK_FREE);
    other.notify(WATCH_TASK_FREE, task);
    EXPECT_TRUE(init(4));
}

TEST_F(Limit, DoesNotCountATaskWithoutAPlaceInTheSession) {
    ASSERT_EQ(watcher.init("tasks=1"), "");
    for (uint64_t id = 5000; id < 5010; id++) EXPECT_TRUE(init(id)) << "it could never be un-counted";
    EXPECT_TRUE(init(1));
}

TEST_F(Limit, NeverHasMoreThanTheLimitAliveWhenThreadsRace) {
    constexpr int threads = 2, rounds = 200000, places = 1;
    ASSERT_EQ(watcher.init("tasks=" + std::to_string(places)), "");
    host.once = ~0u;
    std::atomic<int> alive{0}, most{0}, admitted{0};
    std::vector<std::thread> workers;
    for (int t = 0; t < threads; t++)
        workers.emplace_back([&, t] {
            for (int i = 0; i < rounds; i++) {
                task_watch task = task_of(uint64_t(t + 1), WATCH_TASK_INIT);
                bool in = watcher.notify(WATCH_TASK_INIT, task) == NOTIFY_DONE;
                if (in) {
                    int now = ++alive, seen = most;
                    while (now > seen && !most.compare_exchange_weak(seen, now)) {
                    }
                    admitted++;
                    alive--;
                }
                watcher.notify(WATCH_TASK_FREE, task);
            }
        });
    for (auto &worker : workers) worker.join();
    EXPECT_LE(most, places);
    EXPECT_GT(admitted, rounds / 2);
    for (int i = 1; i <= places; i++) EXPECT_TRUE(init(uint64_t(i))) << "a place was lost";
    EXPECT_FALSE(init(9));
}

// --- without a session

TEST_F(Limit, SaysOnceThatItCountsPerProcessWithoutASession) {
    host.session = false;
    ASSERT_EQ(watcher.init("tasks=10"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    EXPECT_EQ(host.take(), "limit: no session memory: each process counts the tasks that it makes itself\n");
}

TEST_F(Limit, CountsTheTasksOfThisProcessWithoutASession) {
    host.session = false;
    ASSERT_EQ(watcher.init("tasks=2"), "");
    EXPECT_TRUE(init(1));
    EXPECT_TRUE(init(2));
    EXPECT_FALSE(init(3));
    free(3);
    EXPECT_FALSE(init(4));
    free(1);
    EXPECT_TRUE(init(5));
}

TEST_F(Limit, FindsTheEndOfItsChildrenWithoutASession) {
    host.session = false;
    ASSERT_EQ(watcher.init("tasks=2"), "");
    // Its own FREE is told in a child's own memory, which is not ours.
    pid_t children[2];
    for (uint64_t id : {1, 2}) {
        ASSERT_TRUE(init(id));
        pid_t child = children[id - 1] = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        task_watch task = task_of(id, WATCH_TASK_CLONE);
        task.pid = task.tgid = child;
        watcher.notify(WATCH_TASK_CLONE, task);
    }
    EXPECT_FALSE(init(3));
    kill(children[0], SIGKILL);
    waitpid(children[0], nullptr, 0);
    EXPECT_TRUE(init(4));
    EXPECT_FALSE(init(5));
    kill(children[1], SIGKILL);
    waitpid(children[1], nullptr, 0);
}

TEST_F(Limit, StartsAForkedChildAtZeroWithoutASession) {
    host.session = false;
    ASSERT_EQ(watcher.init("tasks=1"), "");
    EXPECT_TRUE(init(1));
    EXPECT_FALSE(init(2));
    task_watch task = task_of(3, WATCH_TASK_INIT);
    task.ppid = 4243;  // asked for in the child, whose memory is a copy
    EXPECT_EQ(watcher.notify(WATCH_TASK_INIT, task), NOTIFY_DONE);
}

// --- options and the rules of a callback

TEST_F(Limit, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {
        {"", "tasks: '' is no number of tasks; accepted: tasks=1 to tasks=1000000"},
        {"error=EAGAIN", "tasks: '' is no number of tasks; accepted: tasks=1 to tasks=1000000"},
        {"tasks=0", "tasks: '0' is not a number of tasks; accepted: 1 to 1000000"},
        {"tasks=1000001", "tasks: '1000001' is not a number of tasks; accepted: 1 to 1000000"},
        {"tasks=18446744073709551617",
         "tasks: '18446744073709551617' is not a number of tasks; accepted: 1 to 1000000"},
        {"tasks=-1", "tasks: '-1' is not a number of tasks; accepted: 1 to 1000000"},
        {"tasks=10k", "tasks: '10k' is not a number of tasks; accepted: 1 to 1000000"},
        {"tasks=5,error=EFOO", "error: 'EFOO' is not an error; accepted: a name like EAGAIN, 1 to 4095"},
        {"tasks=5,error=0", "error: '0' is not an error; accepted: a name like EAGAIN, 1 to 4095"},
        {"tasks=5,error=4096", "error: '4096' is not an error; accepted: a name like EAGAIN, 1 to 4095"},
        {"task=5", "option: 'task' is unknown; accepted: tasks, error"}};
    for (auto &c : cases) EXPECT_EQ(Watcher("limit").init(c.options), c.refusal);
    EXPECT_EQ(Watcher("limit").init("tasks=1000000"), "");
    EXPECT_EQ(Watcher("limit").init("tasks=1"), "");
}

TEST_F(Limit, KnowsEveryNameOfAnErrorThatLibcKnows) {
    for (int number = 1; number < 200; number++) {
        const char *name = strerrorname_np(number);
        if (!name) continue;
        Watcher fresh("limit");
        ASSERT_EQ(fresh.init(std::string("tasks=1,error=") + name), "");
        reset_host();
        for (uint64_t id : {1, 2}) {
            task_watch task = task_of(id, WATCH_TASK_INIT);
            EXPECT_EQ(fresh.notify(WATCH_TASK_INIT, task),
                      id == 1 ? NOTIFY_DONE : notifier_from_errno(-number))
                << name;
        }
    }
}

TEST_F(Limit, KeepsToOneKilobyteOfStack) {
    for (bool session : {true, false}) {
        Watcher fresh("limit");
        reset_host();
        host.session = session;
        ASSERT_EQ(fresh.init("tasks=1"), "");
        size_t used = stack_used(
            [](void *context) {
                auto &w = *static_cast<Watcher *>(context);
                host.once = 0;
                task_watch tasks[] = {task_of(1, WATCH_TASK_INIT), task_of(2, WATCH_TASK_INIT)};
                for (task_watch &task : tasks) w.notify(WATCH_TASK_INIT, task);
                for (task_watch &task : tasks) w.notify(WATCH_TASK_FREE, task);
            },
            &fresh);
        EXPECT_LT(used, 1024u + 128 + 2 * sizeof(task_watch)) << "the rest is the test's";
    }
}

}  // namespace
