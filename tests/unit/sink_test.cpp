// SPDX-License-Identifier: MIT
// The sink: what a watcher writes arrives, or is counted, and the program does not notice either way.
// Each case runs in a forked child, whose descriptors, limits and signals are its own to spoil.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <taskwatch/taskwatch.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "session.hpp"
#include "process.hpp"
#include "thread.hpp"

namespace taskwatch {
namespace {

// Ends a case with what was expected.
#define STRING_OF(x) #x
#define LINE_STRING(line) STRING_OF(line)
#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) return "line " LINE_STRING(__LINE__) ": " #condition; \
    } while (0)

using Case = std::function<std::string()>;

// "" if the case went through; otherwise what failed, or what killed or stopped it.
std::string in_child(const Case &body) {
    int result[2];
    if (pipe2(result, O_CLOEXEC) != 0) return "pipe";
    // Out of the way of what the cases do with low numbers.
    int report = fcntl(result[1], F_DUPFD_CLOEXEC, 900);
    close(result[1]);
    pid_t child = fork();
    if (child == 0) {
        close(result[0]);
        std::string failure = body();
        if (write(report, failure.data(), failure.size()) != (ssize_t)failure.size()) _exit(1);
        _exit(0);
    }
    close(report);
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    std::string failure;
    if (WIFSTOPPED(status)) {
        failure = "stopped by signal " + std::to_string(WSTOPSIG(status));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
    } else if (status != 0) {
        failure = "ended with wait status " + std::to_string(status);
    } else {
        char text[1000];
        ssize_t length;
        while ((length = read(result[0], text, sizeof text)) > 0) failure.append(text, size_t(length));
    }
    close(result[0]);
    return failure;
}

// A case has to have gone through. A function: EXPECT_EQ would print the whole case.
template <typename What = const char *>
void fine(const std::string &failure, const What &what = "") {
    if (!failure.empty()) ADD_FAILURE() << failure << "\n" << what;
}

std::string contents(const std::string &path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

class Sink : public testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/taskwatch-sink-XXXXXX";
        folder = mkdtemp(name);
        path = folder + "/trace";
        other = folder + "/data";
        std::ofstream(other) << "DATA";
    }
    void TearDown() override {
        unlink(path.c_str());
        unlink(other.c_str());
        rmdir(folder.c_str());
    }
    // 0 or a negative errno; errno has to stay.
    static int put(taskwatch_sink &sink, std::string_view text) {
        errno = 1234;
        int result = taskwatch_write(&sink, text.data(), text.size());
        return errno == 1234 ? result : 1;
    }
    static uint64_t lost(int *error = nullptr) { return session.lost(error); }
    // Numbers from 3 up that are open, the report's own aside.
    static std::set<int> open_numbers() {
        std::set<int> numbers;
        for (int fd = 3; fd < 900; fd++)
            if (fcntl(fd, F_GETFD) >= 0) numbers.insert(fd);
        return numbers;
    }
    static int next_number() {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        close(fd);
        return fd;
    }
    static int open_data(const std::string &name) {
        return open(name.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    }

    std::string folder, path, other;
    taskwatch_sink sink = {};
};

// --- a file

TEST_F(Sink, AppendsToItsFileThroughAHighNumberThatIsClosedOnExec) {
    std::ofstream(path) << "before\n";
    fine(in_child([&]() -> std::string {
        int next = next_number();
        std::set<int> before = open_numbers();
        CHECK(taskwatch_sink_init(&sink, path.c_str(), 0) == 0);
        CHECK(open_numbers() == before);
        CHECK(put(sink, "one\n") == 0 && put(sink, "two\n") == 0);
        CHECK(next_number() == next);
        std::set<int> now = open_numbers();
        for (int fd : before) now.erase(fd);
        CHECK(now.size() == 1);
        int fd = *now.begin();
        CHECK(fd >= 60);
        CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
        CHECK((fcntl(fd, F_GETFL) & (O_APPEND | O_ACCMODE)) == (O_APPEND | O_WRONLY));
        return "";
    }));
    EXPECT_EQ(contents(path), "before\none\ntwo\n");
}

TEST_F(Sink, MakesItsFileForItsUserAlone) {
    fine(in_child([&]() -> std::string {
        umask(0);
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "x\n") == 0);
        struct stat st;
        CHECK(stat(path.c_str(), &st) == 0 && (st.st_mode & 07777) == 0600);
        return "";
    }));
}

TEST_F(Sink, SaysAtOnceThatAFileCannotBeOpenedIfAsked) {
    EXPECT_EQ(taskwatch_sink_init(&sink, (folder + "/none/x").c_str(), 1), -ENOENT);
    EXPECT_EQ(taskwatch_sink_init(&sink, folder.c_str(), 1), -EISDIR);
    EXPECT_EQ(taskwatch_sink_init(&sink, (folder + "/none/x").c_str(), 0), 0);
}

TEST_F(Sink, OpensItsFileAgainWhenTheProgramHasClosedIt) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "one\n") == 0);
        close_range(60, 899, 0);
        CHECK(put(sink, "two\n") == 0);
        return "";
    }));
    EXPECT_EQ(contents(path), "one\ntwo\n");
}

TEST_F(Sink, NeitherWritesNorClosesAFileThatTheProgramHasPutOnItsNumber) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "one\n") == 0);
        int fd = sink.fd - 1;
        CHECK(fd >= 60);
        int data = open_data(other);
        CHECK(dup2(data, fd) == fd);
        CHECK(put(sink, "two\n") == 0);
        CHECK(write(fd, "+", 1) == 1);
        return "";
    }));
    EXPECT_EQ(contents(other), "DATA+");
    EXPECT_EQ(contents(path), "one\ntwo\n");
}

TEST_F(Sink, GoesOnInAForkedChildAndItsParentOnOneNumber) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "one\n") == 0);
        std::set<int> before = open_numbers();
        pid_t child = fork();
        if (child == 0) _exit(put(sink, "two\n") == 0 && open_numbers() == before ? 0 : 1);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(put(sink, "three\n") == 0);
        return "";
    }));
    EXPECT_EQ(contents(path), "one\ntwo\nthree\n");
}

TEST_F(Sink, KeepsNothingOpenInAVforkChild) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        std::set<int> before = open_numbers();
        self().depth = 1;
        CHECK(put(sink, "child\n") == 0);
        CHECK(open_numbers() == before);
        CHECK(sink.fd == 0);
        self().depth = 0;
        CHECK(put(sink, "parent\n") == 0);
        before = open_numbers();
        self().depth = 1;
        CHECK(put(sink, "child again\n") == 0);
        CHECK(open_numbers() == before);
        return "";
    }));
    EXPECT_EQ(contents(path), "child\nparent\nchild again\n");
}

TEST_F(Sink, TakesALowerNumberWhereFewAreAllowed) {
    for (rlim_t limit : {150, 64, 16}) {
        fine(in_child([&]() -> std::string {
                 close_range(3, 899, 0);
                 rlimit few = {limit, limit};
                 setrlimit(RLIMIT_NOFILE, &few);
                 taskwatch_sink_init(&sink, path.c_str(), 0);
                 CHECK(put(sink, "x\n") == 0);
                 std::set<int> now = open_numbers();
                 CHECK(now.size() == 1 && *now.begin() >= 12);
                 CHECK(put(sink, "y\n") == 0);
                 return "";
             }),
             limit);
        EXPECT_EQ(contents(path), "x\ny\n");
        unlink(path.c_str());
    }
}

TEST_F(Sink, WritesWithoutKeepingANumberWhereOnlyLowOnesAreFree) {
    fine(in_child([&]() -> std::string {
        close_range(3, 899, 0);
        rlimit few = {5, 5};
        setrlimit(RLIMIT_NOFILE, &few);
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "x\n") == 0);
        CHECK(open_numbers().empty());
        few = {3, 5};
        setrlimit(RLIMIT_NOFILE, &few);
        int error;
        CHECK(put(sink, "y\n") == -EMFILE);
        CHECK(lost(&error) == 1 && error == EMFILE);
        return "";
    }));
    EXPECT_EQ(contents(path), "x\n");
}

TEST_F(Sink, FinishesWhatAThreadBeganThatAForkedChildDoesNotHave) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        sink.fd = -getppid();  // as if another thread of the parent was just filling it in
        CHECK(put(sink, "x\n") == 0);
        CHECK(sink.fd > 60);
        return "";
    }));
}

TEST_F(Sink, LosesNoLineUncountedAndLeaksNothingWhileAnotherThreadClosesItsNumber) {
    constexpr int threads = 3, rounds = 3000;
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        std::set<int> before = open_numbers();
        std::atomic<int> writers = threads;
        std::atomic<bool> wrong = false;
        std::thread closer([&] {
            while (writers > 0)
                if (int fd = std::atomic_ref(sink.fd).load() - 1; fd >= 60) close(fd);
        });
        std::thread workers[threads];
        for (auto &worker : workers)
            worker = std::thread([&] {
                for (int i = 0; i < rounds; i++) {
                    int result = put(sink, "0123456789\n");
                    if (result != 0 && result != -EBADF) wrong = true;
                }
                writers--;
            });
        for (auto &worker : workers) worker.join();
        closer.join();
        CHECK(!wrong);
        std::string text = contents(path);
        CHECK(text.size() % 11 == 0);
        for (size_t i = 0; i < text.size(); i += 11) CHECK(text.compare(i, 11, "0123456789\n") == 0);
        CHECK(text.size() / 11 + lost() == threads * rounds);
        CHECK(open_numbers().size() <= before.size() + 1);
        return "";
    }));
}

TEST_F(Sink, DoesNotWaitForTheReaderOfAFifo) {
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "nobody\n") == -ENXIO);
        int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        CHECK(put(sink, "somebody\n") == 0);
        CHECK(!(fcntl(sink.fd - 1, F_GETFL) & O_NONBLOCK));
        char text[20] = "";
        CHECK(read(reader, text, sizeof text) == 9 && std::string(text) == "somebody\n");
        return "";
    }));
}

// --- the session's standard error

// The session's first process is this one's parent, its standard error `fd`.
void found_session(int fd) {
    dup2(fd, 2);
    session.record_own_streams(getpid());
}

// Runs `body` in a child of the session's first process, whose standard error is `fd`.
std::string in_session(int fd, const Case &body) {
    return in_child([&]() -> std::string {
        found_session(fd);
        return in_child(body);
    });
}

TEST_F(Sink, WritesToDescriptorTwoWhileThatIsTheSessionsStandardError) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fine(in_session(file, [&]() -> std::string {
        CHECK(put(sink, "one\n") == 0);
        CHECK(write(2, "program\n", 8) == 8);
        CHECK(put(sink, "two\n") == 0);
        return "";
    }));
    EXPECT_EQ(contents(path), "one\nprogram\ntwo\n");
    close(file);
}

TEST_F(Sink, LeavesAFileAloneThatTheProgramHasPutOnDescriptorTwo) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fine(in_session(file, [&]() -> std::string {
        std::set<int> before = open_numbers();
        close(2);
        int data = open_data(other);
        CHECK(data == 2);
        CHECK(put(sink, "line\n") == 0);
        CHECK(open_numbers() == before);
        return "";
    }));
    EXPECT_EQ(contents(other), "DATA");
    EXPECT_EQ(contents(path), "line\n");
    close(file);
}

TEST_F(Sink, DoesNotDisturbTheOffsetOfTheSessionsFile) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fine(in_session(file, [&]() -> std::string {
        CHECK(write(2, "program\n", 8) == 8);
        int copy = dup(2);
        // The same file, but not the same offset: what we append here would be written over.
        dup2(open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC), 1);
        close(2);
        CHECK(put(sink, "line\n") == 0);
        CHECK(write(copy, "more\n", 5) == 5);
        return "";
    }));
    EXPECT_EQ(contents(path), "program\nline\nmore\n");
    close(file);
}

TEST_F(Sink, FindsAPipeASocketAndATerminalThroughTheSessionsFirstProcess) {
    int pipes[2], sockets[2], terminal[2];
    ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    ASSERT_EQ(openpty(&terminal[0], &terminal[1], nullptr, nullptr, nullptr), 0);
    struct {
        int reader, writer;
        const char *name;
    } cases[] = {{pipes[0], pipes[1], "pipe"},
                 {sockets[0], sockets[1], "socket"},
                 {terminal[0], terminal[1], "terminal"}};
    for (auto &c : cases) {
        fine(in_session(c.writer,
                        [&]() -> std::string {
                            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
                            close(c.writer);
                            CHECK(put(sink, "line\n") == 0);
                            close(2);
                            CHECK(put(sink, "line\n") == 0);
                            return "";
                        }),
             c.name);
        std::string text(100, '\0');
        pollfd ready = {c.reader, POLLIN, 0};
        ASSERT_EQ(poll(&ready, 1, 0), 1) << c.name;
        text.resize(size_t(read(c.reader, text.data(), text.size())));
        std::erase(text, '\r');
        EXPECT_EQ(text, "line\nline\n") << c.name;
        close(c.reader);
        close(c.writer);
    }
}

TEST_F(Sink, FindsWhatAShellKeepsElsewhereWhileItRedirects) {
    // dash, bash: `command 2>/dev/null` with the shell itself as the session's first process.
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (int fd : {ends[1], file})
        fine(in_child([&]() -> std::string {
                 found_session(fd);
                 CHECK(write(2, "program\n", 8) == 8);
                 int kept = fcntl(2, F_DUPFD_CLOEXEC, 12);
                 CHECK(kept == 12);
                 int data = open_data(other);
                 dup2(data, 2);
                 fine(in_child([&]() -> std::string {
                     close(kept);
                     std::set<int> before = open_numbers();
                     CHECK(put(sink, "line\n") == 0);
                     CHECK(open_numbers() == before);
                     return "";
                 }));
                 dup2(kept, 2);
                 CHECK(write(2, "program\n", 8) == 8);
                 return testing::Test::HasFailure() ? "above" : "";
             }),
             fd);
    char text[100] = "";
    EXPECT_EQ(read(ends[0], text, sizeof text), 21);
    EXPECT_EQ(contents(path), "program\nline\nprogram\n");
    EXPECT_EQ(contents(other), "DATA");
    for (int fd : {ends[0], ends[1], file}) close(fd);
}

TEST_F(Sink, DoesNotWriteOverTextThroughAnotherDescriptorOfTheSameFile) {
    std::ofstream(path) << "0123456789";
    int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    fine(in_session(file, [&]() -> std::string {
        pid_t child = fork();
        if (child == 0) {
            // The first process has it at its beginning under another number, and its own is gone.
            session.record_own_streams(getpid());
            dup2(open(path.c_str(), O_WRONLY | O_CLOEXEC), 11);
            dup2(open(path.c_str(), O_WRONLY | O_CLOEXEC), 1);
            close(2);
            _exit(put(sink, "line\n") == -EBADF ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        return "";
    }));
    EXPECT_EQ(contents(path), "0123456789");
    close(file);
}

TEST_F(Sink, WritesToTheOtherOutputWhenThatIsTheSameTerminal) {
    int terminal[2], redirected[2];
    ASSERT_EQ(openpty(&terminal[0], &terminal[1], nullptr, nullptr, nullptr), 0);
    ASSERT_EQ(pipe2(redirected, O_CLOEXEC), 0);
    fine(in_child([&]() -> std::string {
        dup2(terminal[1], 1);
        found_session(terminal[1]);
        pid_t child = fork();
        if (child == 0) {
            char byte;
            dup2(open_data(other), 2);
            _exit(read(redirected[0], &byte, 1) == 1 && put(sink, "line\n") == 0 ? 0 : 1);
        }
        // The first process has it no more.
        dup2(open_data(other), 1);
        dup2(1, 2);
        CHECK(write(redirected[1], "", 1) == 1);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        return "";
    }));
    char text[20] = "";
    pollfd ready = {terminal[0], POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 0), 1);
    EXPECT_EQ(read(terminal[0], text, sizeof text), 6);
    EXPECT_STREQ(text, "line\r\n");
    EXPECT_EQ(contents(other), "DATA");
    for (int fd : {terminal[0], terminal[1], redirected[0], redirected[1]}) close(fd);
}

// From here on the system call fails with EPERM.
void refuse_system_call(unsigned number) {
    sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                             BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                             BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    sock_fprog filter = {sizeof program / sizeof program[0], program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        abort();
}

TEST_F(Sink, OpensAPipeButNoFileWhereTheFirstProcessMayNotBeTraced) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (auto [fd, result] : {std::pair{ends[1], 0}, {file, -EBADF}})
        fine(in_session(fd,
                        [&, expected = result]() -> std::string {
                            refuse_system_call(438);  // pidfd_getfd
                            std::set<int> before = open_numbers();
                            dup2(open(other.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC), 2);
                            int result = put(sink, "line\n");
                            CHECK(result == expected);
                            CHECK(lost() == (expected != 0));
                            CHECK(open_numbers().size() ==
                                  before.size() + 1);  // of ours, and it is not the sink's
                            return "";
                        }),
             fd);
    char text[20] = "";
    EXPECT_EQ(read(ends[0], text, sizeof text), 5);
    EXPECT_STREQ(text, "line\n");
    EXPECT_EQ(contents(path), "") << "the session's own descriptor would write over it";
    EXPECT_EQ(contents(other), "DATA");
    for (int fd : {ends[0], ends[1], file}) close(fd);
}

TEST_F(Sink, CountsALineWhenTheSessionsStandardErrorCannotBeFound) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fine(in_session(file, [&]() -> std::string {
        // The session's first process has closed it, too.
        pid_t child = fork();
        if (child == 0) {
            session.record_own_streams(getpid());
            int data = open_data(other);
            dup2(data, 2);
            int error = 0;
            int result = put(sink, "line\n");
            _exit(result < 0 && lost(&error) == 1 && error == -result ? 0 : 1);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        return "";
    }));
    EXPECT_EQ(contents(other), "DATA");
    EXPECT_EQ(contents(path), "");
    close(file);
}

TEST_F(Sink, CountsALineOfASessionThatNeverHadAStandardError) {
    fine(in_child([&]() -> std::string {
        close(2);
        session.record_own_streams(getpid());
        int data = open_data(other);
        CHECK(data == 2);
        CHECK(put(sink, "line\n") == -EBADF);
        CHECK(lost() == 1);
        CHECK(taskwatch_sink_init(&sink, nullptr, 1) == -EBADF);
        return "";
    }));
    EXPECT_EQ(contents(other), "DATA");
}

TEST_F(Sink, FindsAnotherWayWhenTheProgramHasTheFileOpenForReading) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int terminal[2];
    ASSERT_EQ(openpty(&terminal[0], &terminal[1], nullptr, nullptr, nullptr), 0);
    std::string name = ttyname(terminal[1]);
    for (auto &c : {std::pair{file, path}, {terminal[1], name}})
        fine(in_session(c.first,
                        [&]() -> std::string {
                            int reading = open(c.second.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
                            dup2(reading, 1);
                            dup2(reading, 2);
                            CHECK(put(sink, "line\n") == 0);
                            CHECK(lost() == 0);
                            return "";
                        }),
             c.second);
    EXPECT_EQ(contents(path), "line\n");
    for (int fd : {file, terminal[0], terminal[1]}) close(fd);
}

TEST_F(Sink, WritesToStandardOutputWhenAskedTo) {
    int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fine(in_child([&]() -> std::string {
        dup2(file, 1);
        session.record_own_streams(getpid());
        CHECK(taskwatch_sink_init(&sink, "-", 1) == 0);
        CHECK(put(sink, "line\n") == 0);
        dup2(open_data(other), 1);
        CHECK(put(sink, "line\n") != 0);
        return "";
    }));
    EXPECT_EQ(contents(path), "line\n");
    EXPECT_EQ(contents(other), "DATA");
    close(file);
}

// --- signals

std::atomic<int> caught;
void catch_signal(int) { caught++; }

bool is_pending(int signal) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signal);
}

sigset_t set_of(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    return set;
}

// A sink whose write raises `signal`: a pipe without a reader, a file that may not grow.
std::string with_failing_sink(int signal, const std::string &path,
                              const std::function<std::string(taskwatch_sink &)> &body) {
    return in_child([&]() -> std::string {
        taskwatch_sink sink = {};
        if (signal == SIGPIPE) {
            int ends[2];
            CHECK(pipe2(ends, O_CLOEXEC) == 0);
            close(ends[0]);
            dup2(ends[1], 2);
            session.record_own_streams(getpid());
        } else {
            rlimit nothing = {0, 0};
            setrlimit(RLIMIT_FSIZE, &nothing);
            taskwatch_sink_init(&sink, path.c_str(), 0);
        }
        return body(sink);
    });
}

TEST_F(Sink, RaisesNoSignalInTheProgram) {
    for (int signal : {SIGPIPE, SIGXFSZ}) {
        auto body = [&, error = signal == SIGPIPE ? EPIPE : EFBIG](taskwatch_sink &failing) -> std::string {
            CHECK(put(failing, "x\n") == -error);  // the default action would have ended us
            struct sigaction action = {};
            action.sa_handler = catch_signal;
            sigaction(signal, &action, nullptr);
            CHECK(put(failing, "x\n") == -error);
            CHECK(caught == 0);
            sigset_t blocked = set_of(signal), now;
            sigprocmask(SIG_BLOCK, &blocked, nullptr);
            CHECK(put(failing, "x\n") == -error);
            CHECK(!is_pending(signal));
            sigprocmask(SIG_BLOCK, nullptr, &now);
            CHECK(sigismember(&now, signal) && !sigismember(&now, SIGTTOU));
            int last;
            CHECK(lost(&last) == 3 && last == error);
            return "";
        };
        fine(with_failing_sink(signal, path, body), signal);
    }
}

TEST_F(Sink, LeavesASignalPendingThatTheProgramRaisedItself) {
    for (int signal : {SIGPIPE, SIGXFSZ}) {
        auto body = [&](taskwatch_sink &failing) -> std::string {
            sigset_t blocked = set_of(signal);
            sigprocmask(SIG_BLOCK, &blocked, nullptr);
            raise(signal);
            CHECK(put(failing, "x\n") < 0);
            CHECK(is_pending(signal));
            return "";
        };
        fine(with_failing_sink(signal, path, body), signal);
    }
}

TEST_F(Sink, RaisesNoSignalWhileOurOwnCallerHasThemBlocked) {
    for (int signal : {SIGPIPE, SIGXFSZ})
        for (bool before : {false, true}) {
            auto body = [&](taskwatch_sink &failing) -> std::string {
                sys::set_signal_mask(sys::all_signals);
                self().signals_blocked = true;
                if (before) raise(signal);
                CHECK(put(failing, "x\n") < 0);
                CHECK(is_pending(signal) == before);
                constexpr sys::SignalMask never = sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP);
                CHECK(sys::set_signal_mask(sys::all_signals) == (sys::all_signals & ~never));
                return "";
            };
            fine(with_failing_sink(signal, path, body), signal);
        }
}

TEST_F(Sink, IsNotStoppedAsABackgroundJobOfATerminal) {
    int terminal[2];
    ASSERT_EQ(openpty(&terminal[0], &terminal[1], nullptr, nullptr, nullptr), 0);
    termios settings;
    tcgetattr(terminal[1], &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(terminal[1], TCSANOW, &settings);
    fine(in_child([&]() -> std::string {
        CHECK(login_tty(dup(terminal[1])) == 0);
        session.record_own_streams(getpid());
        return in_child([&]() -> std::string {
            CHECK(setpgid(0, 0) == 0);
            CHECK(tcgetpgrp(2) != getpgrp());
            CHECK(put(sink, "line\n") == 0);
            return "";
        });
    }));
    close(terminal[0]);
    close(terminal[1]);
}

// --- a write that fails

TEST_F(Sink, CountsWhatAFullDiskDidNotTake) {
    fine(in_child([&]() -> std::string {
        taskwatch_sink_init(&sink, "/dev/full", 0);
        CHECK(put(sink, "x\n") == -ENOSPC && put(sink, "x\n") == -ENOSPC);
        int error;
        CHECK(lost(&error) == 2 && error == ENOSPC);
        return "";
    }));
}

TEST_F(Sink, StartsANewLineAfterARecordThatWasCutOff) {
    fine(in_child([&]() -> std::string {
        rlimit few = {15, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &few);
        taskwatch_sink_init(&sink, path.c_str(), 0);
        CHECK(put(sink, "012345678\n") == 0);
        CHECK(put(sink, "abcdefghi\n") == -EIO);
        CHECK(lost() == 1);
        few = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_FSIZE, &few);
        CHECK(put(sink, "ABCDEFGHI\n") == 0 && put(sink, "end\n") == 0);
        CHECK(lost() == 1);
        return "";
    }));
    EXPECT_EQ(contents(path), "012345678\nabcde\nABCDEFGHI\nend\n");
}

TEST_F(Sink, DoesNotWaitForAPipeThatTheProgramMadeNonBlocking) {
    fine(in_child([&]() -> std::string {
        int ends[2];
        CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        found_session(ends[1]);
        char page[4096] = {};
        while (write(ends[1], page, sizeof page) > 0) {
        }
        CHECK(put(sink, "x\n") == -EAGAIN);
        int error;
        CHECK(lost(&error) == 1 && error == EAGAIN);
        return "";
    }));
}

// True when `pid` sleeps in a system call with this number.
bool sleeps_in(pid_t pid, long number) {
    std::string state = contents("/proc/" + std::to_string(pid) + "/syscall");
    return state.compare(0, std::to_string(number).size() + 1, std::to_string(number) + " ") == 0;
}

TEST_F(Sink, WaitsForASlowReaderThroughSignals) {
    int ends[2], ready[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    char page[4096] = {};
    size_t filled = 0;
    for (ssize_t n; (n = write(ends[1], page, sizeof page)) > 0;) filled += size_t(n);
    fcntl(ends[1], F_SETFL, 0);
    pid_t writer = fork();
    if (writer == 0) {
        struct sigaction action = {};
        action.sa_handler = [](int) {
            char byte = 1;
            if (write(900, &byte, 1) != 1) _exit(2);
        };
        sigaction(SIGUSR1, &action, nullptr);  // no SA_RESTART
        dup2(ready[1], 900);
        found_session(ends[1]);
        _exit(put(sink, "line\n") == 0 && lost() == 0 ? 0 : 1);
    }
    for (int i = 0; i < 3; i++) {
        while (!sleeps_in(writer, SYS_write)) sched_yield();
        char byte;
        kill(writer, SIGUSR1);
        ASSERT_EQ(read(ready[0], &byte, 1), 1);
    }
    close(ends[1]);
    std::string text;
    for (ssize_t n; (n = read(ends[0], page, sizeof page)) > 0;) text.append(page, size_t(n));
    EXPECT_EQ(text.substr(filled), "line\n");
    int status;
    waitpid(writer, &status, 0);
    EXPECT_EQ(status, 0);
    close(ends[0]);
    close(ready[0]);
    close(ready[1]);
}

TEST_F(Sink, MakesNoSystemCallOnceTheProgramHasASeccompFilter) {
    pid_t child = fork();
    if (child == 0) {
        taskwatch_sink_init(&sink, path.c_str(), 0);
        put(sink, "before\n");
        process.quiet = true;
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) sys::call(SYS_exit, 9);
        int result = put(sink, "after\n");  // anything but write(2) on an open number ends us
        bool stream = taskwatch_sink_is_stream(&sink), terminal = taskwatch_sink_is_terminal(&sink);
        sys::call(SYS_exit, result == -EPERM && lost() == 1 && !stream && !terminal ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(contents(path), "before\n");
}

// --- what a sink is

TEST_F(Sink, KnowsWhatNeedsShortLinesAndWhatIsATerminal) {
    int terminal[2];
    ASSERT_EQ(openpty(&terminal[0], &terminal[1], nullptr, nullptr, nullptr), 0);
    std::string fifo = folder + "/fifo", absent = folder + "/absent", tty = ttyname(terminal[1]);
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    struct {
        const char *path;
        bool stream, terminal;
    } files[] = {{other.c_str(), false, false}, {absent.c_str(), false, false}, {"/dev/null", false, false},
                 {"/dev/full", false, false},   {fifo.c_str(), true, false},    {tty.c_str(), true, true}};
    for (auto &c : files) {
        taskwatch_sink_init(&sink, c.path, 0);
        for (const char *when : {"before", "after"}) {
            EXPECT_EQ(taskwatch_sink_is_stream(&sink), c.stream) << c.path << " " << when << " it was opened";
            EXPECT_EQ(taskwatch_sink_is_terminal(&sink), c.terminal)
                << c.path << " " << when << " it was opened";
            fine(in_child([&]() -> std::string {
                     (void)put(sink, "x");
                     CHECK(taskwatch_sink_is_stream(&sink) == c.stream);
                     CHECK(taskwatch_sink_is_terminal(&sink) == c.terminal);
                     return "";
                 }),
                 c.path);
        }
    }
    unlink(absent.c_str());
    unlink(fifo.c_str());

    int pipes[2], sockets[2];
    ASSERT_EQ(pipe2(pipes, O_CLOEXEC), 0);
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    int file = open_data(other);
    struct {
        int fd;
        bool stream, terminal;
    } streams[] = {
        {pipes[1], true, false}, {sockets[1], true, false}, {terminal[1], true, true}, {file, false, false}};
    taskwatch_sink_init(&sink, nullptr, 0);
    for (auto &c : streams)
        fine(in_session(c.fd,
                        [&]() -> std::string {
                            CHECK(taskwatch_sink_is_stream(&sink) == c.stream);
                            CHECK(taskwatch_sink_is_terminal(&sink) == c.terminal);
                            // And when it has to be looked for.
                            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
                            CHECK(taskwatch_sink_is_stream(&sink) == c.stream);
                            CHECK(taskwatch_sink_is_terminal(&sink) == c.terminal);
                            return "";
                        }),
             c.fd);
    for (int fd : {terminal[0], terminal[1], pipes[0], pipes[1], sockets[0], sockets[1], file}) close(fd);
}

}  // namespace
}  // namespace taskwatch
