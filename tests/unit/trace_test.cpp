// SPDX-License-Identifier: MIT
// The trace watcher: how its lines look, in JSON by a real parser, and where they go. What the events
// mean and when they come is not tested here.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <random>

#include "watcher_host.hpp"

namespace {

using Json = nlohmann::ordered_json;

class Trace : public testing::Test {
  protected:
    void SetUp() override { reset_host(); }

    void start(const std::string &options) { ASSERT_EQ(watcher.init(options), ""); }
    std::string line(unsigned long action, task_watch task) {
        host.writes = 0;
        watcher.notify(action, task);
        EXPECT_LE(host.writes.load(), 1u) << "one event, one write";
        return host.take();
    }
    Json json(unsigned long action, const task_watch &task) {
        std::string text = line(action, task);
        EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line: " << text;
        return Json::parse(text);
    }

    Watcher watcher{"trace"};
};

std::string keys_of(const Json &record) {
    std::string keys;
    for (auto &[key, value] : record.items()) keys += (keys.empty() ? "" : " ") + key;
    return keys;
}

// Undoes the percent-encoding of a field that "encoded" names.
std::string decoded(const Json &record, const char *field, const std::string &text) {
    if (!record.contains("encoded")) return text;
    bool named = false;
    for (auto &name : record["encoded"]) named |= name == field;
    if (!named) return text;
    std::string bytes;
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] != '%') {
            bytes += text[i];
        } else {
            bytes += char(std::stoi(text.substr(i + 1, 2), nullptr, 16));
            i += 2;
        }
    }
    return bytes;
}

struct Arguments {
    std::vector<std::string> strings;
    std::vector<char *> pointers;
    explicit Arguments(std::vector<std::string> values) : strings(std::move(values)) {
        for (auto &string : strings) pointers.push_back(string.data());
        pointers.push_back(nullptr);
    }
};

task_watch make_exec(const char *path, const Arguments &arguments) {
    task_watch task = make_task();
    task.path = path;
    task.argv = arguments.pointers.data();
    return task;
}

task_watch make_uid() {
    task_watch task = make_task();
    task.call = "seteuid";
    task.ids = {0, 65534, 0, 65534};
    return task;
}

task_watch make_exit(int status) {
    task_watch task = make_task();
    task.call = "exit";
    task.exit_status = status;
    task.start_ns = task.boottime_ns;
    task.boottime_ns += 1204000000;
    return task;
}

// --- JSON: the records

const char head[] =
    R"("session":"9f3c00000000abcd","ts":1763884800123456789,"mono":91234567,"task":17,"parent":3,)";

TEST_F(Trace, WritesInitWithTheKeysInTheirOrderAndZeroesPrinted) {
    start("format=json");
    EXPECT_EQ(line(WATCH_TASK_INIT, make_creation(WATCH_TASK_INIT)),
              std::string(R"({"v":1,"event":"init",)") + head +
                  R"("pid":0,"tgid":0,"ppid":4242,"by":4242,"call":"fork","clone_flags":18874385})"
                  "\n");
}

TEST_F(Trace, WritesCloneWithTheKeysInTheirOrder) {
    start("format=json");
    EXPECT_EQ(line(WATCH_TASK_CLONE, make_creation(WATCH_TASK_CLONE)),
              std::string(R"({"v":1,"event":"clone",)") + head +
                  R"("pid":4243,"tgid":4243,"ppid":4242,"by":4242,"call":"fork","clone_flags":18874385})"
                  "\n");
}

TEST_F(Trace, WritesExecWithItsFolderAndEmptyArguments) {
    start("format=json");
    Arguments arguments({"cc", "-c", ""});
    char *cwd = getcwd(nullptr, 0);
    EXPECT_EQ(
        line(WATCH_TASK_EXEC, make_exec("/usr/bin/cc", arguments)),
        std::string(R"({"v":1,"event":"exec",)") + head +
            R"("pid":4243,"tgid":4243,"ppid":4242,"by":4243,)"
            R"("path":"/usr/bin/cc","argv":["cc","-c",""],"cwd":)" +
            Json(cwd).dump() + "}\n");
    free(cwd);
}

TEST_F(Trace, WritesUidWithOldAndNewIds) {
    start("format=json");
    EXPECT_EQ(
        line(WATCH_TASK_UID, make_uid()),
        std::string(R"({"v":1,"event":"uid",)") + head +
            R"("pid":4243,"tgid":4243,"ppid":4242,"by":4243,"call":"seteuid","uid":0,"euid":65534,"suid":0,)"
            R"("fsuid":65534,"old":[0,0,0,0],"changed":true})"
            "\n");
    Json gid = json(WATCH_TASK_GID | WATCH_UNCHANGED, make_uid());
    EXPECT_EQ(gid["changed"], false);
    EXPECT_EQ(keys_of(gid),
              "v event session ts mono task parent pid tgid ppid by call gid egid sgid fsgid old changed");
}

TEST_F(Trace, WritesExitWithTheStatusTakenApart) {
    start("format=json");
    Json exited = json(WATCH_TASK_EXIT, make_exit(768));
    EXPECT_EQ(keys_of(exited),
              "v event session ts mono task parent pid tgid ppid by call status exit_code signal elapsed");
    EXPECT_EQ(exited["status"], 768);
    EXPECT_EQ(exited["exit_code"], 3);
    EXPECT_EQ(exited["signal"], 0);
    EXPECT_EQ(exited["elapsed"], 1204000000);
    Json killed = json(WATCH_TASK_EXIT, make_exit(SIGSEGV | 0x80));
    EXPECT_EQ(killed["status"], 139);
    EXPECT_EQ(killed["exit_code"], 0);
    EXPECT_EQ(killed["signal"], SIGSEGV);
}

TEST_F(Trace, WritesNullForAStatusThatNobodyCouldLearn) {
    start("format=json");
    Json exited = json(WATCH_TASK_EXIT | WATCH_ON_BEHALF | WATCH_STATUS_UNKNOWN, make_exit(0));
    EXPECT_TRUE(exited["status"].is_null());
    EXPECT_TRUE(exited["exit_code"].is_null());
    EXPECT_TRUE(exited["signal"].is_null());
    EXPECT_EQ(exited["on_behalf"], true);
}

TEST_F(Trace, WritesFreeWithNothingElse) {
    start("format=json");
    EXPECT_EQ(keys_of(json(WATCH_TASK_FREE, make_exit(0))),
              "v event session ts mono task parent pid tgid ppid by");
}

TEST_F(Trace, NamesTheStopperAndTheErrorOfAVetoAtInitCloneAndFree) {
    start("format=json");
    struct {
        int verdict;
        const char *error;
    } cases[] = {{NOTIFY_STOP, "EAGAIN"},      {NOTIFY_BAD, "EPERM"},
                 {NOTIFY_STOP_MASK, "EAGAIN"}, {notifier_from_errno(-ENOMEM), "ENOMEM"},
                 {-EACCES, "EACCES"},          {notifier_from_errno(-4000), "4000"},
                 {-100000, "EAGAIN"}};
    for (unsigned long event : {WATCH_TASK_INIT, WATCH_TASK_CLONE}) {
        for (auto &c : cases) {
            task_watch task = make_creation(event);
            task.verdict = c.verdict;
            task.stopped_by = "limit";
            Json record = json(event | WATCH_STOPPED, task);
            EXPECT_EQ(record["vetoed"], true);
            EXPECT_EQ(record["by_watcher"], "limit");
            EXPECT_EQ(record["errno"], c.error) << c.verdict;
        }
    }
    task_watch task = make_creation(WATCH_TASK_INIT);
    task.error = ENOMEM;
    task.stopped_by = "limit";
    Json record = json(WATCH_TASK_FREE, task);
    EXPECT_EQ(keys_of(record),
              "v event session ts mono task parent pid tgid ppid by vetoed by_watcher errno");
    EXPECT_EQ(record["errno"], "ENOMEM");
}

TEST_F(Trace, DoesNotCallAStopThatCameTooLateAVeto) {
    start("format=json");
    task_watch task = make_creation(WATCH_TASK_CLONE);
    task.context = TASKWATCH_NOT_HELD;
    task.stopped_by = "limit";
    EXPECT_FALSE(json(WATCH_TASK_CLONE | WATCH_STOPPED, task).contains("vetoed"));
}

TEST_F(Trace, TellsARefusedCreationByItsFree) {
    start("format=json");
    task_watch task = make_creation(WATCH_TASK_INIT);
    task.error = EAGAIN;
    Json record = json(WATCH_TASK_FREE, task);
    EXPECT_EQ(record["refused"], "EAGAIN");
    EXPECT_FALSE(record.contains("vetoed"));
}

TEST_F(Trace, WritesEachFlagUnderItsKey) {
    start("format=json");
    Arguments arguments({"x"});
    task_watch task = make_exec("/x", arguments);
    EXPECT_EQ(json(WATCH_TASK_EXEC | WATCH_ADOPTED, task)["adopted"], true);
    EXPECT_EQ(json(WATCH_TASK_EXEC | WATCH_BEFORE, task)["before"], true);
    EXPECT_EQ(json(WATCH_TASK_FREE | WATCH_AGAIN, make_task())["again"], true);
    task.error = ENOENT;
    EXPECT_EQ(json(WATCH_TASK_EXEC | WATCH_FAILED, task)["failed"], "ENOENT");
}

// --- JSON: strings

TEST_F(Trace, KeepsUtf8AndEscapesWhatJsonReserves) {
    start("format=json");
    Arguments arguments({"\"\\/\b\f\n\r\t\x01\x1f\x7f", "gr\xc3\xbc\xc3\x9f", "\xf0\x9f\x90\xa7", "100%"});
    Json record = json(WATCH_TASK_EXEC, make_exec("/bin/\xe2\x82\xac", arguments));
    EXPECT_EQ(record["argv"], Json(arguments.strings));
    EXPECT_EQ(record["path"], "/bin/\xe2\x82\xac");
    EXPECT_FALSE(record.contains("encoded"));
}

TEST_F(Trace, EncodesBytesThatAreNotUtf8AndSaysInWhichFields) {
    start("format=json");
    Arguments arguments({"a%b", "\xff\xfe", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"});
    Json record = json(WATCH_TASK_EXEC, make_exec("/plain%41", arguments));
    EXPECT_EQ(record["encoded"], Json::array({"argv"}));
    EXPECT_EQ(record["path"], "/plain%41");
    EXPECT_EQ(record["argv"][0], "a%25b") << "or it could not be told from an encoded byte";
    EXPECT_EQ(record["argv"][1], "%ff%fe");
    for (size_t i = 0; i < arguments.strings.size(); i++)
        EXPECT_EQ(decoded(record, "argv", record["argv"][i]), arguments.strings[i]);
}

TEST_F(Trace, GivesBackAnyBytesThatAProgramPassed) {
    start("format=json");
    std::mt19937 random(7);
    const char alphabet[] =
        "a%\"\\\n\x01\x7f\xc3\xa9\xe2\x82\xac\xed\xa0\xf0\x9f\x90\xf4\x90\x80\xbf\xc0\xff";
    for (int round = 0; round < 2000; round++) {
        auto word = [&] {
            std::string text(random() % 40, 'x');
            for (char &c : text) c = alphabet[random() % (sizeof alphabet - 1)];
            return text;
        };
        std::string path = word();
        std::vector<std::string> words(random() % 5);
        for (auto &w : words) w = word();
        Arguments arguments(words);
        Json record = json(WATCH_TASK_EXEC, make_exec(path.c_str(), arguments));
        ASSERT_EQ(decoded(record, "path", record["path"]), path);
        ASSERT_EQ(record["argv"].size(), words.size());
        for (size_t i = 0; i < words.size(); i++)
            ASSERT_EQ(decoded(record, "argv", record["argv"][i]), words[i]);
    }
}

TEST_F(Trace, CutsNothingInAFile) {
    start("format=json");
    std::vector<std::string> many(20000, std::string(100, 'y'));
    many.push_back(std::string(1 << 17, 'z') + "\n");
    Arguments arguments(many);
    Json record = json(WATCH_TASK_EXEC, make_exec("/x", arguments));
    EXPECT_EQ(record["argv"], Json(many));
    EXPECT_FALSE(record.contains("truncated"));
}

TEST_F(Trace, KeepsALineForAStreamAt4096BytesAndNamesWhatWasCut) {
    start("format=json");
    host.stream = true;
    struct {
        size_t path, argument, count;
        Json cut;
    } cases[] = {{10, 10, 2, nullptr},
                 {10, 1000, 40, Json::array({"argv"})},
                 {10, 1, 3000, Json::array({"argv"})},
                 {3900, 10, 2, Json::array({"path"})},
                 {4095, 5000, 3, Json::array({"path", "argv"})}};
    for (auto &c : cases) {
        Arguments arguments(std::vector<std::string>(c.count, std::string(c.argument, '"')));
        std::string path(c.path, 'p');
        std::string text = line(WATCH_TASK_EXEC | WATCH_ON_BEHALF, make_exec(path.c_str(), arguments));
        EXPECT_LE(text.size(), 4096u);
        EXPECT_EQ(text.back(), '\n');
        Json record = Json::parse(text);
        EXPECT_EQ(record.contains("truncated") ? record["truncated"] : Json(nullptr), c.cut);
        EXPECT_EQ(record["on_behalf"], true);
        if (!c.cut.is_null()) {
            EXPECT_GT(text.size(), 1500u) << "cut more than it had to";
        }
    }
}

TEST_F(Trace, KeepsEveryKeyOfAnEncodedLineForAStreamWithinItsLimit) {
    start("format=json");
    host.stream = true;
    // The longest head and tail that there can be.
    Arguments arguments(std::vector<std::string>(50, std::string(500, '\xff')));
    std::string path(4000, '\xff');
    task_watch task = make_exec(path.c_str(), arguments);
    task.pid = task.tgid = task.ppid = task.by = INT32_MIN;
    task.id = task.parent_id = task.realtime_ns = task.boottime_ns = UINT64_MAX;
    task.error = ENOTRECOVERABLE;
    task.stopped_by = "a-name-of-thirty-one-bytes-longg";
    unsigned long all =
        WATCH_ON_BEHALF | WATCH_AGAIN | WATCH_ADOPTED | WATCH_BEFORE | WATCH_FAILED | WATCH_STOPPED;
    std::string text = line(WATCH_TASK_EXEC | all, task);
    EXPECT_LE(text.size(), 4096u);
    Json record = Json::parse(text);
    EXPECT_EQ(record["encoded"], Json::array({"path", "argv"}));
    EXPECT_EQ(record["truncated"], Json::array({"path", "argv"}));
    EXPECT_EQ(record["adopted"], true);
}

// The program's other threads can write its arguments while we read them.
std::string *growing;

TEST_F(Trace, SurvivesArgumentsThatGrowBetweenItsTwoPasses) {
    start("format=json");
    Arguments arguments({std::string(100000, 'a')});
    arguments.strings[0][50000] = '\0';
    growing = &arguments.strings[0];
    host.on_is_stream = [] { (*growing)[50000] = 'a'; };
    Json record = json(WATCH_TASK_EXEC, make_exec("/x", arguments));
    EXPECT_EQ(record["truncated"], Json::array({"argv"}));
}

TEST_F(Trace, MakesNoMappingBehindASeccompFilter) {
    start("format=json");
    Arguments arguments(std::vector<std::string>(100, "argument"));
    task_watch task = make_exec("/x", arguments);
    task.context = TASKWATCH_QUIET;
    std::string text = line(WATCH_TASK_EXEC, task);
    EXPECT_LT(text.size(), 600u);
    Json record = Json::parse(text);
    EXPECT_TRUE(record["cwd"].is_null());
    EXPECT_EQ(record["truncated"], Json::array({"argv"}));
}

// --- no session

TEST_F(Trace, SaysOnceThatItsProcessWorksAlone) {
    start("format=json");
    task_watch task = make_task();
    task.session = 0;
    watcher.notify(WATCH_TASK_FREE, task);
    std::string text = host.take();
    size_t second = text.find('\n') + 1;
    Json alone = Json::parse(text.substr(0, second));
    EXPECT_EQ(keys_of(alone), "v event session ts mono task parent pid tgid ppid by");
    EXPECT_EQ(alone["event"], "alone");
    EXPECT_EQ(alone["session"], "0000000000000000");
    EXPECT_EQ(Json::parse(text.substr(second))["event"], "free");
    EXPECT_EQ(json(WATCH_TASK_FREE, task)["event"], "free") << "said twice";
}

TEST_F(Trace, SaysInTextThatItsProcessWorksAlone) {
    start("events=exit");
    task_watch task = make_task();
    task.session = 0;
    watcher.notify(WATCH_TASK_EXIT, task);
    const std::string text = host.take();
    EXPECT_EQ(text.substr(0, text.find('\n')),
              "[pid 4243] --- no session: ids, counts and ends are of this process alone ---");
}

// --- lost records

TEST_F(Trace, TellsLostRecordsOnceWhenItCanWriteAgain) {
    start("format=json");
    host.write_error = ENOSPC;
    for (int i = 0; i < 3; i++) line(WATCH_TASK_FREE, make_task());
    host.write_error = 0;
    task_watch task = make_task();
    watcher.notify(WATCH_TASK_FREE, task);
    std::string text = host.take();
    size_t first = text.find('\n') + 1;
    EXPECT_EQ(Json::parse(text.substr(0, first))["event"], "free");
    Json lost = Json::parse(text.substr(first));
    EXPECT_EQ(keys_of(lost), "v event session ts mono task parent pid tgid ppid by n why");
    EXPECT_EQ(lost["event"], "lost");
    EXPECT_EQ(lost["n"], 3);
    EXPECT_EQ(lost["why"], "ENOSPC");
    EXPECT_EQ(json(WATCH_TASK_FREE, make_task())["event"], "free") << "told twice";
    watcher.fini(TASKWATCH_FINI_PROCESS);
    EXPECT_EQ(host.take(), "");
}

TEST_F(Trace, TellsLostRecordsAtTheEndOfAProcessAtTheLatest) {
    for (bool session : {true, false}) {
        Watcher other("trace");
        reset_host();
        host.session = session;
        ASSERT_EQ(other.init("format=json"), "");
        host.write_error = EAGAIN;
        task_watch task = make_task();
        other.notify(WATCH_TASK_FREE, task);
        host.write_error = 0;
        other.fini(TASKWATCH_FINI_PROCESS);
        Json lost = Json::parse(host.take());
        EXPECT_EQ(lost["n"], 1);
        EXPECT_EQ(lost["why"], "EAGAIN");
        EXPECT_EQ(lost["pid"], getpid());
        EXPECT_EQ(lost["session"], "9f3c00000000abcd");
    }
}

TEST_F(Trace, TellsLostRecordsLaterIfTellingThemFails) {
    start("format=json");
    host.write_error = ENOSPC;
    line(WATCH_TASK_FREE, make_task());
    watcher.fini(TASKWATCH_FINI_PROCESS);
    host.write_error = 0;
    watcher.fini(TASKWATCH_FINI_SESSION);
    EXPECT_EQ(Json::parse(host.take())["n"], 1) << "the event, and not the line that should have told of it";
}

// --- text

TEST_F(Trace, WritesTextAsStraceWould) {
    start("");
    Arguments arguments({"cc", "-c", "a.c", "two words", "q\"\\\n\x1b[31m\xc2\x9b", "gr\xc3\xbcn\xff"});
    EXPECT_EQ(line(WATCH_TASK_EXEC, make_exec("/usr/bin/cc", arguments)),
              "[pid 4243] exec /usr/bin/cc [\"cc\", \"-c\", \"a.c\", \"two words\", "
              "\"q\\\"\\\\\\n\\x1b[31m\\xc2\\x9b\", \"gr\xc3\xbcn\\xff\"]\n");
    EXPECT_EQ(line(WATCH_TASK_CLONE, make_creation(WATCH_TASK_CLONE, "vfork")),
              "[pid 4242] clone(vfork) = 4243\n");
    EXPECT_EQ(line(WATCH_TASK_EXIT, make_exit(768)), "[pid 4243] +++ exited with 3 (1.204 s) +++\n");
    EXPECT_EQ(line(WATCH_TASK_EXIT, make_exit(SIGKILL)), "[pid 4243] +++ killed by SIGKILL (1.204 s) +++\n");
    EXPECT_EQ(line(WATCH_TASK_EXIT, make_exit(SIGSEGV | 0x80)),
              "[pid 4243] +++ killed by SIGSEGV (core dumped) (1.204 s) +++\n");
    EXPECT_EQ(line(WATCH_TASK_EXIT, make_exit(40)), "[pid 4243] +++ killed by signal 40 (1.204 s) +++\n");
    EXPECT_EQ(line(WATCH_TASK_EXIT | WATCH_STATUS_UNKNOWN, make_exit(0)),
              "[pid 4243] +++ ended, status unknown (1.204 s) +++\n");
    EXPECT_EQ(line(WATCH_TASK_UID, make_uid()),
              "[pid 4243] seteuid() = 0 (uid 0, euid 0 -> 65534, suid 0, fsuid 0 -> 65534)\n");
}

TEST_F(Trace, ShowsInTextWhatWasStoppedOrRefusedOnce) {
    start("");
    task_watch task = make_creation(WATCH_TASK_INIT);
    task.stopped_by = "limit";
    task.verdict = notifier_from_errno(-EAGAIN);
    EXPECT_EQ(line(WATCH_TASK_INIT | WATCH_STOPPED, task),
              "[pid 4242] fork() = -1 EAGAIN (stopped by limit)\n");
    task.error = EAGAIN;
    EXPECT_EQ(line(WATCH_TASK_FREE, task), "");
    task.stopped_by = nullptr;
    EXPECT_EQ(line(WATCH_TASK_FREE, task), "[pid 4242] fork() = -1 EAGAIN\n");
    EXPECT_EQ(line(WATCH_TASK_INIT, make_creation(WATCH_TASK_INIT)), "");
    EXPECT_EQ(line(WATCH_TASK_FREE, make_task()), "");
}

TEST_F(Trace, SaysInTextWhatWillNotBeWatched) {
    start("argv=0");
    Arguments arguments({"secret"});
    task_watch task = make_exec("/bin/busybox", arguments);
    task.context = TASKWATCH_FORECAST;
    EXPECT_EQ(line(WATCH_TASK_EXEC | WATCH_BEFORE, task),
              "[pid 4243] exec /bin/busybox (will not be watched)\n");
    task.error = ENOENT;
    EXPECT_EQ(line(WATCH_TASK_EXEC | WATCH_FAILED, task), "[pid 4243] exec /bin/busybox = -1 ENOENT\n");
}

TEST_F(Trace, CutsTextForATerminalWithDots) {
    start("");
    host.stream = true;
    Arguments arguments(std::vector<std::string>(50, std::string(1000, 'a')));
    std::string text = line(WATCH_TASK_EXEC, make_exec("/x", arguments));
    EXPECT_LE(text.size(), 4096u);
    EXPECT_NE(text.find("a\"...]\n"), std::string::npos) << text.substr(text.size() - 20);
}

TEST_F(Trace, ColoursATerminalOnly) {
    Arguments arguments({"x"});
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    struct {
        const char *options, *no_color;
        bool terminal, coloured;
    } cases[] = {{"", nullptr, true, true},
                 {"", nullptr, false, false},
                 {"", "1", true, false},
                 {"", "", true, true},
                 {"color=never", "", true, false},
                 {"color=always", "1", false, true},
                 {"format=json", nullptr, true, false},
                 {"format=json,color=always", nullptr, true, false}};
    for (auto &c : cases) {
        c.no_color ? setenv("NO_COLOR", c.no_color, 1) : unsetenv("NO_COLOR");
        Watcher fresh("trace");
        host.terminal = c.terminal;
        ASSERT_EQ(fresh.init(c.options), "");
        task_watch task = make_exec("/x", arguments);
        fresh.notify(WATCH_TASK_EXEC, task);
        EXPECT_EQ(host.take().find('\033') != std::string::npos, c.coloured) << c.options;
    }
    unsetenv("NO_COLOR");
}

// --- which events

TEST_F(Trace, WritesTheEventsThatWereAskedFor) {
    struct {
        const char *options, *events;
    } cases[] = {{"", "clone exec uid gid exit"},
                 {"format=json", "init clone exec uid gid exit free"},
                 {"format=json,events=exec,exit", "exec exit"},
                 {"events=process", "clone exec exit"},
                 {"events=process,uid,gid", "clone exec uid gid exit"},
                 {"events=all,argv=0", "init clone exec uid gid exit free"},
                 {"events=none", ""},
                 {"format=json,events=free", "free"}};
    const std::pair<unsigned long, const char *> events[] = {
        {WATCH_TASK_INIT, "init"}, {WATCH_TASK_CLONE, "clone"}, {WATCH_TASK_EXEC, "exec"},
        {WATCH_TASK_UID, "uid"},   {WATCH_TASK_GID, "gid"},     {WATCH_TASK_EXIT, "exit"},
        {WATCH_TASK_FREE, "free"}};
    Arguments arguments({"x"});
    for (auto &c : cases) {
        Watcher fresh("trace");
        ASSERT_EQ(fresh.init(c.options), "");
        std::string seen;
        for (auto &[event, name] : events) {
            task_watch task = make_exec("/x", arguments);
            if (event == WATCH_TASK_INIT) task.pid = task.tgid = 0;
            fresh.notify(event, task);
            if (!host.take().empty()) seen += (seen.empty() ? "" : " ") + std::string(name);
        }
        EXPECT_EQ(seen, c.events) << c.options;
    }
}

TEST_F(Trace, LeavesThreadsOutOfTextAndPutsThemIntoJson) {
    struct {
        const char *options;
        bool shown;
    } cases[] = {{"events=all", false},
                 {"events=all,threads=1", true},
                 {"format=json", true},
                 {"format=json,threads=0", false}};
    for (auto &c : cases) {
        Watcher fresh("trace");
        ASSERT_EQ(fresh.init(c.options), "");
        for (unsigned long event : {WATCH_TASK_INIT, WATCH_TASK_CLONE, WATCH_TASK_EXIT, WATCH_TASK_FREE}) {
            task_watch thread = make_creation(event, "pthread_create");
            thread.pid = event == WATCH_TASK_INIT ? 0 : 4244;
            thread.tgid = 4242;
            fresh.notify(event, thread);
            EXPECT_EQ(!host.take().empty(), c.shown) << c.options << " " << event;
        }
    }
}

// --- options

TEST_F(Trace, RefusesWhatItDoesNotUnderstandAndSaysWhatItWould) {
    struct {
        const char *options, *refusal;
    } cases[] = {{"events=exec,fork",
                  "events: 'fork' is not an event; accepted: init, clone, exec, uid, gid, exit, free, "
                  "process, all, none"},
                 {"format=xml", "format: 'xml' is not a format; accepted: text, json"},
                 {"colour=never",
                  "option: 'colour' is unknown; accepted: format, output, events, argv, threads, color"},
                 {"color=sometimes", "color: 'sometimes' is not a choice; accepted: auto, always, never"},
                 {"argv=2", "argv: '2' is not a switch; accepted: 0, 1"},
                 {"threads=", "threads: '' is not a switch; accepted: 0, 1"},
                 {"output=x.json",
                  "output: 'x.json' is not an absolute path, and programs change their folder; accepted: an "
                  "absolute path (%p: process id, %%: percent sign), - for standard output"},
                 {"output=/x%h",
                  "output: '/x%h' is a path with another % than %p and %%; accepted: an absolute path (%p: "
                  "process id, %%: percent sign), - for standard output"}};
    for (auto &c : cases) EXPECT_EQ(Watcher("trace").init(c.options), c.refusal);
    EXPECT_NE(Watcher("trace").init("output=/" + std::string(1000, 'x')).find("longer than 1000 bytes"),
              std::string::npos);
}

TEST_F(Trace, RefusesAFileThatCannotBeOpenedInTheFirstProcessAlone) {
    host.open_error = ENOENT;
    EXPECT_EQ(Watcher("trace").init("output=/nowhere/x"),
              "output: '/nowhere/x' is ENOENT; accepted: a file that can be written, in a folder that "
              "exists; a FIFO "
              "that is read");
    EXPECT_EQ(Watcher("trace").init("output=/nowhere/x"), "") << "its lines are counted as lost instead";
    EXPECT_EQ(host.opened_now, 0);
}

TEST_F(Trace, WritesToTheNamedFile) {
    start("output=/tmp/100%%");
    line(WATCH_TASK_EXIT, make_exit(0));
    EXPECT_STREQ(host.last_path, "/tmp/100%");
    Watcher standard_error("trace");
    ASSERT_EQ(standard_error.init(""), "");
    task_watch task = make_exit(0);
    standard_error.notify(WATCH_TASK_EXIT, task);
    EXPECT_EQ(host.last_path, nullptr);
}

TEST_F(Trace, GivesEachProcessItsOwnFileButNotAVforkChild) {
    start("output=/tmp/t.%p.json");
    line(WATCH_TASK_EXIT, make_exit(0));
    std::string mine = "/tmp/t." + std::to_string(getpid()) + ".json";
    EXPECT_EQ(host.last_path, mine);
    // 1: its own file. 2: its parent's, as the vfork child of a child would. 4: its own child's own.
    pid_t child = fork();
    if (child == 0) {
        int result = 0;
        task_watch vforked = make_exit(0);
        vforked.context = TASKWATCH_IN_VFORK_CHILD;
        line(WATCH_TASK_EXIT, vforked);
        if (host.last_path == mine) result |= 2;
        line(WATCH_TASK_EXIT, make_exit(0));
        if (host.last_path == "/tmp/t." + std::to_string(getpid()) + ".json") result |= 1;
        pid_t grandchild = fork();
        if (grandchild == 0) {
            line(WATCH_TASK_EXIT, make_exit(0));
            _exit(host.last_path == "/tmp/t." + std::to_string(getpid()) + ".json" ? 4 : 0);
        }
        int status = 0;
        waitpid(grandchild, &status, 0);
        _exit(result | WEXITSTATUS(status));
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 7);
}

// --- the watcher

TEST_F(Trace, IsAnObserverThatStopsNothing) {
    EXPECT_EQ(watcher.descriptor().priority, WATCH_PRIORITY_OBSERVER);
    EXPECT_EQ(watcher.descriptor().events, WATCH_MASK_ALL);
    start("format=json");
    task_watch task = make_task();
    EXPECT_EQ(watcher.notify(WATCH_TASK_FREE, task), NOTIFY_DONE);
    host.write_error = EIO;
    EXPECT_EQ(watcher.notify(WATCH_TASK_FREE, task), NOTIFY_DONE);
}

// Two at the start of an image, before any function of the program runs.
TEST_F(Trace, KeepsToOneKilobyteOfStack) {
    for (const char *options : {"format=json", "events=all"}) {
        Watcher fresh("trace");
        reset_host();
        ASSERT_EQ(fresh.init(options), "");
        Arguments small({"cc", "-c"}), large(std::vector<std::string>(100000, "0123456789"));
        for (unsigned long event : {WATCH_TASK_INIT, WATCH_TASK_CLONE, WATCH_TASK_EXEC, WATCH_TASK_UID,
                                    WATCH_TASK_EXIT, WATCH_TASK_FREE}) {
            for (Arguments *arguments : {&small, &large}) {
                struct Call {
                    Watcher &watcher;
                    unsigned long action;
                    task_watch task;
                } call{fresh, event | WATCH_ON_BEHALF | WATCH_AGAIN | WATCH_ADOPTED,
                       make_exec("/usr/bin/cc", *arguments)};
                size_t used = stack_used(
                    [](void *context) {
                        auto &c = *static_cast<Call *>(context);
                        host.length = 0;
                        host.lost++;  // told, too
                        c.watcher.notify(c.action, c.task);
                    },
                    &call);
                const bool image = event == WATCH_TASK_EXEC && std::string(options) == "format=json";
                EXPECT_LT(used, (image ? 2048u : 1024u) + 128) << options << " " << event << " (128 are the test's)";
            }
        }
    }
}

}  // namespace
