// SPDX-License-Identifier: MIT
// taskwatch.hpp: a watcher as a class. What it wants, what its callbacks get, what its verdicts mean; its data of
// threads; its lines.
#include <taskwatch/taskwatch.hpp>

#include <thread>

#include "watcher_host.hpp"

namespace {

using taskwatch::allow;
using taskwatch::deny;
using taskwatch::Flags;
using taskwatch::Verdict;

constexpr unsigned long thread_flags = 0x3d0f00;  // pthread_create's

task_watch make_thread(uint64_t id, pid_t process = 4242) {
    task_watch task = make_creation(WATCH_TASK_INIT, "pthread_create");
    task.id = id;
    task.tgid = process;
    task.clone_flags = thread_flags;
    return task;
}

template <typename Self>
Self started(notifier_block &block, std::string options = "") {
    Self self;
    EXPECT_EQ(Self::start_instance(self, &block, options.data()), nullptr);
    return self;
}

struct Everything : taskwatch::Watcher<Everything> {
    std::string last;
    Verdict on_init(const task_watch &, Flags) { return last = "on_init", allow(); }
    Verdict on_clone(const task_watch &, Flags) { return last = "on_clone", deny(ENOMEM); }
    Verdict before_exec(const task_watch &, Flags) { return last = "before_exec", deny(EACCES); }
    Verdict before_uid(const task_watch &, Flags) { return last = "before_uid", allow(); }
    Verdict before_gid(const task_watch &, Flags) { return last = "before_gid", deny(EPERM); }
    void on_exec(const task_watch &, Flags) { last = "on_exec"; }
    void on_uid(const task_watch &, Flags flags) { last = flags.unchanged() ? "on_uid unchanged" : "on_uid"; }
    void on_gid(const task_watch &, Flags) { last = "on_gid"; }
    void failed_exec(const task_watch &, Flags) { last = "failed_exec"; }
    void failed_uid(const task_watch &, Flags) { last = "failed_uid"; }
    void failed_gid(const task_watch &, Flags) { last = "failed_gid"; }
    void forecast_exec(const task_watch &, Flags) { last = "forecast_exec"; }
    void withdrawn_exec(const task_watch &, Flags) { last = "withdrawn_exec"; }
    void on_exit(const task_watch &, Flags flags) { last = flags.on_behalf() ? "on_exit on behalf" : "on_exit"; }
    void on_free(const task_watch &, Flags) { last = "on_free"; }
};

TEST(ClassWatcher, EachEventGoesToItsCallbackAndTheVerdictIsTheChains) {
    struct {
        unsigned long action;
        uint32_t context;
        const char *callback;
        int value;
    } const rows[] = {
        {WATCH_TASK_INIT, 0, "on_init", NOTIFY_OK},
        {WATCH_TASK_CLONE, 0, "on_clone", notifier_from_errno(-ENOMEM)},
        {WATCH_TASK_EXEC, 0, "on_exec", NOTIFY_DONE},
        {WATCH_TASK_EXEC | WATCH_BEFORE, 0, "before_exec", notifier_from_errno(-EACCES)},
        {WATCH_TASK_EXEC | WATCH_FAILED, 0, "failed_exec", NOTIFY_DONE},
        {WATCH_TASK_EXEC | WATCH_BEFORE, TASKWATCH_FORECAST, "forecast_exec", NOTIFY_DONE},
        {WATCH_TASK_EXEC | WATCH_FAILED, TASKWATCH_FORECAST, "withdrawn_exec", NOTIFY_DONE},
        {WATCH_TASK_UID, 0, "on_uid", NOTIFY_DONE},
        {WATCH_TASK_UID | WATCH_UNCHANGED, 0, "on_uid unchanged", NOTIFY_DONE},
        {WATCH_TASK_UID | WATCH_BEFORE, 0, "before_uid", NOTIFY_OK},
        {WATCH_TASK_UID | WATCH_FAILED, 0, "failed_uid", NOTIFY_DONE},
        {WATCH_TASK_GID, 0, "on_gid", NOTIFY_DONE},
        {WATCH_TASK_GID | WATCH_BEFORE, 0, "before_gid", notifier_from_errno(-EPERM)},
        {WATCH_TASK_GID | WATCH_FAILED, 0, "failed_gid", NOTIFY_DONE},
        {WATCH_TASK_EXIT, 0, "on_exit", NOTIFY_DONE},
        {WATCH_TASK_EXIT | WATCH_ON_BEHALF, 0, "on_exit on behalf", NOTIFY_DONE},
        {WATCH_TASK_FREE, 0, "on_free", NOTIFY_DONE},
    };
    Everything watcher;
    for (const auto &row : rows) {
        task_watch task = make_task();
        task.context = row.context;
        EXPECT_EQ(Everything::dispatch(watcher, row.action, task), row.value) << row.callback;
        EXPECT_EQ(watcher.last, row.callback);
    }
    EXPECT_EQ(Everything::events(), WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED);
}

struct OnlyExit : taskwatch::Watcher<OnlyExit> {
    static constexpr int priority = WATCH_PRIORITY_OBSERVER;
    void on_exit(const task_watch &, Flags) {}
};
struct OnlyFailedUid : taskwatch::Watcher<OnlyFailedUid> {
    void failed_uid(const task_watch &, Flags) {}
};
struct OnlyWithdrawn : taskwatch::Watcher<OnlyWithdrawn> {
    void withdrawn_exec(const task_watch &, Flags) {}
};

TEST(ClassWatcher, WantsTheEventsOfItsCallbacksAndNoOthers) {
    EXPECT_EQ(OnlyExit::events(), WATCH_MASK_EXIT);
    EXPECT_EQ(OnlyFailedUid::events(), WATCH_MASK_UID | WATCH_MASK_FAILED);
    EXPECT_EQ(OnlyWithdrawn::events(), WATCH_MASK_EXEC);
    EXPECT_EQ(int{OnlyExit::priority}, WATCH_PRIORITY_OBSERVER);
    OnlyFailedUid watcher;
    task_watch task = make_task();
    EXPECT_EQ(OnlyFailedUid::dispatch(watcher, WATCH_TASK_UID, task), NOTIFY_DONE);
    EXPECT_EQ(OnlyFailedUid::dispatch(watcher, WATCH_TASK_INIT, task), NOTIFY_DONE);
}

TEST(ClassWatcher, ARunTimeErrnoIsAnErrnoOrEagain) {
    EXPECT_EQ(deny(taskwatch::Errno::of(ENOSPC)).notifier_value(), notifier_from_errno(-ENOSPC));
    for (int wrong : {0, -1, -EPERM, 4096}) {
        EXPECT_EQ(deny(taskwatch::Errno::of(wrong)).notifier_value(), notifier_from_errno(-EAGAIN)) << wrong;
    }
}

struct Configured : taskwatch::Watcher<Configured> {
    std::string seen;
    const char *configure(const char *key, const char *value) {
        seen += std::string(key) + "=" + value + ";";
        return strcmp(key, "wrong") == 0 ? "wrong is wrong" : nullptr;
    }
    const char *start() { return seen.empty() ? "it needs an option" : nullptr; }
    int finished = -1;
    void finish(int reason) { finished = reason; }
    void on_exit(const task_watch &, Flags) {}
};

TEST(ClassWatcher, ItsOptionsComeOneByOneAndEitherStepCanRefuse) {
    notifier_block block = {};
    Configured watcher = started<Configured>(block, "events=exec,exit,level=2");
    EXPECT_EQ(watcher.seen, "events=exec,exit;level=2;");
    EXPECT_EQ(watcher.block(), &block);
    Configured none;
    char empty[] = "", wrong[] = "wrong=1,level=2", any[] = "a=1";
    EXPECT_STREQ(Configured::start_instance(none, &block, empty), "it needs an option");
    EXPECT_STREQ(Configured::start_instance(none, &block, wrong), "wrong is wrong");
    OnlyExit plain;
    EXPECT_STREQ(OnlyExit::start_instance(plain, &block, any), "it takes no options");
    Configured::finish_instance(watcher, TASKWATCH_FINI_SESSION);
    EXPECT_EQ(watcher.finished, TASKWATCH_FINI_SESSION);
}

TEST(ClassWatcher, ItsCellIsOfItsOwnType) {
    reset_host();
    struct Counts {
        uint64_t execs;
        uint32_t uids;
    };
    notifier_block block = {};
    OnlyExit watcher = started<OnlyExit>(block);
    task_watch task = make_task();
    watcher.cell<Counts>(task)->execs = 7;
    uint64_t raw;
    memcpy(&raw, host.cells[task.id], sizeof raw);
    EXPECT_EQ(raw, 7u);
    *watcher.shared<uint64_t>() = 9;
    memcpy(&raw, host.shared, sizeof raw);
    EXPECT_EQ(raw, 9u);
    host.session = false;
    EXPECT_EQ(watcher.cell<Counts>(task), nullptr);
    EXPECT_EQ(watcher.shared<uint64_t>(), nullptr);
}

struct Resource {
    static inline int destroyed = 0;
    int value;
    explicit Resource(int v) : value(v) {}
    ~Resource() { destroyed++; }
};

TEST(Immortal, IsMadeWhenAskedForAndNeverDestroyed) {
    static constinit taskwatch::Immortal<Resource> lasting;  // no constructor runs at an exec
    static_assert(std::is_trivially_destructible_v<decltype(lasting)>, "and no destructor at an exit");
    EXPECT_EQ(&lasting.create(7), &*lasting);
    EXPECT_EQ(lasting->value, 7);
    {
        taskwatch::Immortal<Resource> local;
        local.create(8);
    }
    EXPECT_EQ(Resource::destroyed, 0);
}

// --- data of threads

using Data = taskwatch::ThreadData<long, 3>;

TEST(ThreadData, IsAttachedAtInitFoundLaterAndReleasedOnce) {
    reset_host();
    Data data;
    task_watch one = make_thread(1), two = make_thread(2);
    long *first = data.attach(one, nullptr), *second = data.attach(two, nullptr);
    ASSERT_TRUE(first && second && first != second);
    EXPECT_EQ(*first, 0);
    *first = 11, *second = 22;
    one.pid = 5001;  // as in later events
    EXPECT_EQ(data.find(one, nullptr), first);
    EXPECT_TRUE(data.release(one, nullptr));
    EXPECT_EQ(data.find(one, nullptr), nullptr);
    EXPECT_FALSE(data.release(one, nullptr)) << "the second FREE";
    EXPECT_EQ(*data.find(two, nullptr), 22);
}

TEST(ThreadData, AFreeWithoutAnInitReleasesNothing) {
    // The double free of 2006: what was set at CLONE and is freed at FREE, and a creation that fails in between.
    reset_host();
    Data data;
    task_watch parent = make_thread(1), child = make_thread(2);
    ASSERT_TRUE(data.attach(parent, nullptr));
    memcpy(host.cells[2], host.cells[1], sizeof host.cells[1]);  // as if the child had a copy of its creator's
    EXPECT_EQ(data.find(child, nullptr), nullptr);
    EXPECT_FALSE(data.release(child, nullptr));
    EXPECT_TRUE(data.find(parent, nullptr)) << "the parent's is still there";
}

TEST(ThreadData, AWrongNumberInTheCellFindsNothing) {
    reset_host();
    Data data;
    task_watch task = make_thread(1);
    ASSERT_TRUE(data.attach(task, nullptr));
    for (uint32_t wrong : {0u, 2u, 3u, 4u, 1000000u, 0xffffffffu}) {
        memcpy(host.cells[1], &wrong, sizeof wrong);
        EXPECT_EQ(data.find(task, nullptr), nullptr) << wrong;
        EXPECT_FALSE(data.release(task, nullptr)) << wrong;
    }
}

TEST(ThreadData, IsForThreadsInASession) {
    reset_host();
    Data data;
    EXPECT_EQ(data.attach(make_creation(WATCH_TASK_INIT), nullptr), nullptr) << "a process";
    EXPECT_TRUE(data.attach(make_thread(4), nullptr));
    host.session = false;
    EXPECT_EQ(data.find(make_thread(4), nullptr), nullptr);
    EXPECT_EQ(data.attach(make_thread(5), nullptr), nullptr);
}

TEST(ThreadData, APlaceThatWasGivenBackIsTheNextOnesAndEmpty) {
    reset_host();
    Data data;
    for (uint64_t id : {1, 2, 3}) *data.attach(make_thread(id), nullptr) = 7;
    EXPECT_TRUE(data.release(make_thread(2), nullptr));
    long *again = data.attach(make_thread(4), nullptr);
    ASSERT_TRUE(again);
    EXPECT_EQ(*again, 0);
    EXPECT_EQ(data.find(make_thread(2), nullptr), nullptr) << "whose place it was";
    EXPECT_EQ(data.capacity(), 3u);
}

TEST(ThreadData, ThereAreAsManyPlacesAsThreadsNeedAndNoneMoves) {
    reset_host();
    Data data;
    std::vector<long *> places;
    for (uint64_t id = 0; id < 1000; id++) {
        places.push_back(data.attach(make_thread(id), nullptr));
        ASSERT_TRUE(places.back()) << id;
        *places.back() = long(id);
    }
    const unsigned capacity = data.capacity();
    EXPECT_LT(capacity, 2100u);
    for (uint64_t id = 0; id < 1000; id++) {
        ASSERT_EQ(data.find(make_thread(id), nullptr), places[id]);
        ASSERT_EQ(*places[id], long(id));
        ASSERT_TRUE(data.release(make_thread(id), nullptr));
    }
    for (int round = 0; round < 5; round++) {
        for (uint64_t id = 0; id < 1000; id++) ASSERT_TRUE(data.attach(make_thread(id), nullptr));
        for (uint64_t id = 0; id < 1000; id++) ASSERT_TRUE(data.release(make_thread(id), nullptr));
    }
    EXPECT_EQ(data.capacity(), capacity) << "what was given back is enough";
}

TEST(ThreadData, BehindASeccompFilterNoMemoryIsAskedFor) {
    reset_host();
    Data data;
    for (uint64_t id = 1; id < 5; id++) {
        task_watch task = make_thread(id);
        task.context = TASKWATCH_QUIET;
        EXPECT_EQ(data.attach(task, nullptr) != nullptr, id < 4) << id;
    }
    EXPECT_EQ(data.capacity(), 3u);
}

TEST(ThreadData, WhatAForkCopiedIsFreeForTheChildsThreads) {
    reset_host();
    Data data;
    for (uint64_t id : {1, 2, 3}) ASSERT_TRUE(data.attach(make_thread(id, 4242), nullptr));
    // The same memory in a forked child, whose threads are of another process.
    for (uint64_t id : {4, 5, 6}) EXPECT_TRUE(data.attach(make_thread(id, 4300), nullptr)) << id;
    EXPECT_EQ(data.capacity(), 3u);
}

TEST(ThreadData, ManyThreadsAtOnceGetAPlaceEach) {
    reset_host();
    static taskwatch::ThreadData<uint64_t, 2> data;
    std::atomic<unsigned> wrong = 0;
    auto live = [&](uint64_t first) {
        for (uint64_t id = first; id < first + 100; id++) {
            task_watch task = make_thread(id);
            uint64_t *mine = data.attach(task, nullptr);
            if (!mine) {
                wrong++;
                continue;
            }
            *mine = id;
            std::this_thread::yield();
            if (data.find(task, nullptr) != mine || *mine != id || !data.release(task, nullptr)) wrong++;
        }
    };
    std::vector<std::thread> threads;
    for (uint64_t n = 0; n < 8; n++) threads.emplace_back(live, 1 + n * 100);
    for (auto &thread : threads) thread.join();
    EXPECT_EQ(wrong, 0u);
    const unsigned capacity = data.capacity();
    ASSERT_LE(capacity, 62u) << "eight at once";
    for (uint64_t id = 901; id < 901 + capacity; id++) EXPECT_TRUE(data.attach(make_thread(id), nullptr));
    EXPECT_EQ(data.capacity(), capacity) << "a place was lost";
}

// --- lines

TEST(Line, IsTextAndNumbersAndOneNewline) {
    taskwatch::Line<80> line;
    line << "exec " << "/bin/true" << " " << -3 << " " << 4000000000u << " " << 18446744073709551615ul << " "
         << static_cast<const char *>(nullptr) << " " << (-9223372036854775807l - 1);
    EXPECT_EQ(line.finish(), "exec /bin/true -3 4000000000 18446744073709551615 (none) -9223372036854775808\n");
}

TEST(Line, ThatIsTooLongSaysSo) {
    taskwatch::Line<16> fits, cut;
    fits << "123456789012345";
    EXPECT_EQ(fits.finish(), "123456789012345\n");
    cut << "1234567890123456";
    EXPECT_EQ(cut.finish(), "123456789012...\n");
    EXPECT_EQ(cut.text().size(), 15u);
}

TEST(Line, WritesNoControlCharacter) {
    taskwatch::Line<40> line;
    line << "a\nb\033[31m\177\xc3\xa4";
    EXPECT_EQ(line.finish(), "a?b?[31m?\xc3\xa4\n");
}

TEST(Line, GoesToASinkInOneWrite) {
    reset_host();
    taskwatch::Sink sink;
    EXPECT_EQ(sink.open(nullptr), 0);
    EXPECT_EQ(host.opened_now, 0);
    taskwatch::Line<40> line;
    line << "one" << 1;
    EXPECT_EQ(sink.write(line), 0);
    EXPECT_EQ(host.written(), "one1\n");
    EXPECT_EQ(host.writes, 1u);
    host.open_error = EACCES;
    EXPECT_EQ(sink.open("/no"), -EACCES);
}

}  // namespace
