// SPDX-License-Identifier: MIT
// The acct watcher: what it writes of a process, how its table adds up. The session's memory is a stand-in.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "watcher_host.hpp"

namespace {

using nlohmann::json;

class Acct : public testing::Test {
  public:
    void SetUp() override { reset_host(); }

    static void exec(Watcher &watcher, task_watch task, const char *path, unsigned long flags = 0) {
        task.path = path;
        watcher.notify(WATCH_TASK_EXEC | flags, task);
    }
    // This process, at its end.
    static task_watch self_task() {
        task_watch task = make_task();
        task.pid = task.tgid = task.by = getpid();
        task.call = "exit";
        task.start_ns = task.boottime_ns - 5000;
        return task;
    }
    static task_watch dead(uint64_t id, const rusage *usage = nullptr) {
        task_watch task = make_task();
        task.id = id;
        task.pid = task.tgid = 100000 + (pid_t)id;
        task.by = getpid();
        task.call = "waitpid";
        task.exit_status = SIGKILL;
        task.usage = usage;
        return task;
    }
    json record() {
        std::string text = host.take();
        EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
        return json::parse(text);
    }
    // Words of the table's line of a program.
    std::vector<std::string> row(const std::string &program) {
        std::istringstream lines{std::string(host.written())};
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words(line);
            std::vector<std::string> split{std::istream_iterator<std::string>(words), {}};
            if (!split.empty() && split.back() == program) return split;
        }
        return {};
    }

    Watcher watcher{"acct"};
};

TEST_F(Acct, WritesWhatThisProcessUsed) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    task_watch task = self_task();
    exec(watcher, task, "/usr/lib/gcc/cc1");
    task.exit_status = 3 << 8;
    rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    watcher.notify(WATCH_TASK_EXIT, task);
    getrusage(RUSAGE_SELF, &after);
    EXPECT_STREQ(host.last_path, "/x");
    json r = record();
    EXPECT_EQ(r["event"], "acct");
    EXPECT_EQ(r["command"], "cc1");
    EXPECT_EQ(r["execed"], true);
    EXPECT_EQ(r["status"], 3 << 8);
    EXPECT_EQ(r["exit_code"], 3);
    EXPECT_EQ(r["signal"], 0);
    EXPECT_EQ(r["wall"], 5000);
    EXPECT_GE(r["minflt"].get<long>(), before.ru_minflt);
    EXPECT_LE(r["minflt"].get<long>(), after.ru_minflt);
    EXPECT_LE(r["maxrss"].get<long>(), after.ru_maxrss);
    EXPECT_GT(r["rchar"].get<long>(), 0);
    EXPECT_FALSE(r.contains("on_behalf"));
}

TEST_F(Acct, WritesTheUsageOfTheDeadAsItWasGiven) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    rusage usage = {};
    usage.ru_utime = {2, 345678};
    usage.ru_stime = {0, 1};
    usage.ru_maxrss = 4711;
    usage.ru_minflt = 11, usage.ru_majflt = 12, usage.ru_nvcsw = 13, usage.ru_nivcsw = 14;
    task_watch task = dead(5, &usage);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    json r = record();
    EXPECT_EQ(r["user"], 2345678000);
    EXPECT_EQ(r["system"], 1000);
    EXPECT_EQ(r["maxrss"], 4711);
    EXPECT_EQ(r["minflt"], 11);
    EXPECT_EQ(r["majflt"], 12);
    EXPECT_EQ(r["nvcsw"], 13);
    EXPECT_EQ(r["nivcsw"], 14);
    EXPECT_EQ(r["rchar"], nullptr) << "nobody can ask for that any more";
    EXPECT_EQ(r["signal"], SIGKILL);
    EXPECT_EQ(r["on_behalf"], true);
}

TEST_F(Acct, SaysWhatNobodyCouldLearn) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    task_watch task = dead(5);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF | WATCH_STATUS_UNKNOWN, task);
    json r = record();
    for (const char *key : {"status", "exit_code", "signal", "user", "system", "maxrss", "minflt", "rchar"})
        EXPECT_EQ(r[key], nullptr) << key;
}

TEST_F(Acct, DoesNotReadAFieldThatAnOlderLibraryHasNot) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    task_watch task = dead(5, reinterpret_cast<const rusage *>(1));
    task.size = offsetof(task_watch, usage);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    EXPECT_EQ(record()["user"], nullptr);
}

TEST_F(Acct, NamesTheDeadByWhatTheyExecutedOrWereForkedFrom) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    exec(watcher, self_task(), "/bin/parent");
    task_watch fork = dead(6);
    watcher.notify(WATCH_TASK_CLONE, fork);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, fork);
    json r = record();
    EXPECT_EQ(r["command"], "parent");
    EXPECT_EQ(r["execed"], false);
    // An image that will not load us: a forecast tells of it, in the old one.
    task_watch other = dead(7);
    watcher.notify(WATCH_TASK_CLONE, other);
    other.context = TASKWATCH_FORECAST;
    exec(watcher, other, "/bin/static", WATCH_BEFORE);
    other.context = 0;
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, other);
    r = record();
    EXPECT_EQ(r["command"], "static");
    EXPECT_EQ(r["execed"], true);
    // The forecast is withdrawn.
    task_watch third = dead(8);
    watcher.notify(WATCH_TASK_CLONE, third);
    third.context = TASKWATCH_FORECAST;
    exec(watcher, third, "/bin/static", WATCH_BEFORE);
    exec(watcher, third, "/bin/static", WATCH_FAILED);
    third.context = 0;
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, third);
    r = record();
    EXPECT_EQ(r["command"], "parent");
    EXPECT_EQ(r["execed"], false);
}

TEST_F(Acct, TellsNothingOfThreads) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    task_watch thread = self_task();
    thread.pid = thread.by = thread.tgid + 1;
    thread.call = "pthread_exit";
    watcher.notify(WATCH_TASK_EXIT, thread);
    thread.call = "exit";
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, thread);
    EXPECT_EQ(host.writes, 0u);
}

TEST_F(Acct, SaysThatACommandHadToBeEncoded) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    exec(watcher, self_task(), "/bin/\xff%\"x");
    task_watch task = self_task();
    watcher.notify(WATCH_TASK_EXIT, task);
    json r = record();
    EXPECT_EQ(r["command"], "%ff%25\"x");
    EXPECT_EQ(r["encoded"], json::array({"command"}));
}

TEST_F(Acct, WritesTheLongestCommandWhole) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    std::string name(255, '\xfe');
    exec(watcher, self_task(), ("/bin/" + name).c_str());
    task_watch task = self_task();
    watcher.notify(WATCH_TASK_EXIT, task);
    EXPECT_EQ(record()["command"].get<std::string>().size(), 3 * name.size());
}

// --- the table

TEST_F(Acct, AddsUpByProgram) {
    ASSERT_EQ(watcher.init(""), "");
    rusage usage = {};
    for (uint64_t id = 1; id <= 60; id++) {
        task_watch task = dead(id, &usage);
        watcher.notify(WATCH_TASK_CLONE, task);
        task.context = TASKWATCH_FORECAST;
        exec(watcher, task, id % 2 ? "/usr/lib/cc1" : "/usr/bin/as", WATCH_BEFORE);
        task.context = 0;
        usage.ru_utime = {id % 2 ? 2 : 0, 500000};
        usage.ru_maxrss = (long)id;
        watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    }
    EXPECT_EQ(host.length, 0u) << "records were not asked for";
    watcher.fini(TASKWATCH_FINI_PROCESS);
    EXPECT_EQ(host.length, 0u) << "not the last one";
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("cc1"), (std::vector<std::string>{"83.3", "75.000", "0.000", "59", "30", "0", "0", "cc1"}));
    EXPECT_EQ(row("as"), (std::vector<std::string>{"16.7", "15.000", "0.000", "60", "30", "0", "0", "as"}));
    EXPECT_EQ(row("total"), (std::vector<std::string>{"100.0", "90.000", "0.000", "60", "60", "0", "0", "total"}));
    EXPECT_LT(host.written().find(" cc1\n"), host.written().find(" as\n"));
    EXPECT_EQ(host.last_path, nullptr) << "the session's standard error";
}

TEST_F(Acct, CountsAnEndOnceWhenItIsToldTwice) {
    ASSERT_EQ(watcher.init(""), "");
    rusage usage = {};
    task_watch task = dead(9, &usage);
    watcher.notify(WATCH_TASK_CLONE, task);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF | WATCH_AGAIN, task);
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("total")[4], "1");
}

TEST_F(Acct, CountsFailedExecsForTheProgramThatTried) {
    ASSERT_EQ(watcher.init(""), "");
    exec(watcher, self_task(), "/bin/sh");
    task_watch task = self_task();
    for (int error : {ENOENT, ENOENT, EACCES}) {
        task.error = error;
        exec(watcher, task, "/a/program", WATCH_FAILED);
    }
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("sh")[6], "3");
    EXPECT_NE(host.written().find("3 execs failed, 2 of them with ENOENT"), std::string::npos);
}

TEST_F(Acct, GivesWhatComesTooLateALineTogether) {
    ASSERT_EQ(watcher.init("top=56"), "");
    rusage usage = {};
    for (uint64_t id = 1; id <= 100; id++) {
        task_watch task = dead(id, &usage);
        watcher.notify(WATCH_TASK_CLONE, task);
        task.context = TASKWATCH_FORECAST;
        exec(watcher, task, ("/bin/program" + std::to_string(id)).c_str(), WATCH_BEFORE);
        task.context = 0;
        watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    }
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("program55")[4], "1");
    EXPECT_TRUE(row("program56").empty());
    EXPECT_EQ(row("(others)")[4], "45");
    EXPECT_EQ(row("total")[4], "100");
}

TEST_F(Acct, TellsLongNamesApartThatBeginAlike) {
    ASSERT_EQ(watcher.init(""), "");
    rusage usage = {};
    const char *paths[] = {"/b/a-program-with-a-long-name-1", "/b/a-program-with-a-long-name-2"};
    for (uint64_t id : {1, 2}) {
        task_watch task = dead(id, &usage);
        task.context = TASKWATCH_FORECAST;
        exec(watcher, task, paths[id - 1], WATCH_BEFORE);
        task.context = 0;
        watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
    }
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("total")[4], "2");
    EXPECT_EQ(row("a-program-with-a-long-n")[4], "1");
}

TEST_F(Acct, AddsUpOverTheProcessesOfASession) {
    Watcher other("acct");
    ASSERT_EQ(watcher.init(""), "");
    ASSERT_EQ(other.init(""), "");
    rusage usage = {};
    task_watch first = dead(1, &usage), second = dead(2, &usage);
    exec(watcher, self_task(), "/bin/one");
    exec(other, self_task(), "/bin/one");
    watcher.notify(WATCH_TASK_CLONE, first);
    other.notify(WATCH_TASK_CLONE, second);
    watcher.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, second);
    other.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, first);
    other.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("one")[4], "2");
    EXPECT_EQ(row("one")[5], "2") << "forks that never exec'd";
}

TEST_F(Acct, SaysOnceThatThereIsNoTableWithoutASession) {
    host.session = false;
    ASSERT_EQ(watcher.init("output=/x"), "");
    exec(watcher, self_task(), "/bin/one");
    task_watch task = self_task();
    watcher.notify(WATCH_TASK_EXIT, task);
    EXPECT_EQ(record()["command"], "one");
    watcher.fini(TASKWATCH_FINI_PROCESS);
    watcher.fini(TASKWATCH_FINI_PROCESS);
    EXPECT_EQ(host.take(), "acct: no session memory: there is no table, only the records\n");
}

TEST_F(Acct, PrintsNothingButTextWhateverTheNames) {
    ASSERT_EQ(watcher.init(""), "");
    exec(watcher, self_task(), "/bin/\x1b[31mred");
    task_watch task = self_task();
    watcher.notify(WATCH_TASK_EXIT, task);
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(row("?[31mred").size(), 8u);
    EXPECT_EQ(host.written().find('\x1b'), std::string::npos);
}

// --- options and the rules of a callback

TEST_F(Acct, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {
        {"top=57", "top: '57' is not a number of lines; accepted: 0 to 56"},
        {"top=", "top: '' is not a number of lines; accepted: 0 to 56"},
        {"output=x",
         "output: 'x' is not an absolute path, and programs change their folder; accepted: an absolute path, - for "
         "standard output"},
        {"file=/x", "option: 'file' is unknown; accepted: output, top"},
    };
    for (auto &c : cases) EXPECT_EQ(Watcher("acct").init(c.options), c.refusal);
    host.open_error = ENOENT;
    EXPECT_EQ(Watcher("acct").init("output=/nowhere/x"),
              "output: '/nowhere/x' is ENOENT; accepted: a file that can be written, in a folder that exists; a FIFO "
              "that is read");
}

TEST_F(Acct, KeepsToOneKilobyteOfStack) {
    ASSERT_EQ(watcher.init("output=/x"), "");
    exec(watcher, self_task(), "/bin/one");
    static rusage usage = {};
    size_t used = stack_used(
        [](void *context) {
            auto &w = *static_cast<Watcher *>(context);
            task_watch task = dead(1, &usage);
            w.notify(WATCH_TASK_CLONE, task);
            w.notify(WATCH_TASK_EXIT | WATCH_ON_BEHALF, task);
            task = self_task();
            task.context = TASKWATCH_IN_VFORK_CHILD;  // told each time
            w.notify(WATCH_TASK_EXIT, task);
        },
        &watcher);
    EXPECT_LT(used, 1024u + 128 + 2 * sizeof(task_watch)) << "the rest is the test's";
}

}  // namespace
