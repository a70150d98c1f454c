// SPDX-License-Identifier: MIT
// path_search() beside the genuine execvp in forked children, over a table of PATHs; and with an exec that
// only pretends, for the errors that no file system here will give.
#include <sys/mman.h>

#include "path_search.hpp"
#include "spawn_case.hpp"

using namespace spawn_case;
using namespace taskwatch;

namespace {

int real_exec(void *, const char *path, char *const *argv, char *const *envp) {
    return int(-sys::call(SYS_execve, path, argv, envp));
}

int execute_own(const char *file, char *const *argv) {
    return path_search({.file = file,
                        .path = current_path(),
                        .argv = argv,
                        .envp = environ,
                        .shell_fallback = true,
                        .exec = real_exec,
                        .context = nullptr});
}

int execute_genuine(const char *file, char *const *argv) {
    errno = ENOENT;  // what ours says when there is no candidate at all and execvp leaves errno alone
    execvp(file, argv);
    return errno;
}

struct SearchCase {
    const char *name;
    const char *path;  // null: unset
    const char *expected;
    const char *file = "tool";
    size_t arguments = 2;  // after argv[0]
};

void PrintTo(const SearchCase &search, std::ostream *out) { *out << search.name; }

// Folders: "empty"; "denied" with a tool that may not be run; "script" with one that is no program; "good"
// with the probe; "looped" with a link to itself. In the current folder: "here" and "file".
void make_world(const std::string &program) {
    for (const char *folder : {"empty", "denied", "script", "good", "looped"}) mkdir(folder, 0755);
    write_file("file", "", 0644);
    write_file("denied/tool", "", 0644);
    write_file("script/tool", "exec \"$PROBE\" \"$0\" \"$@\"\n", 0755);
    if (symlink(program.c_str(), "good/tool") || symlink(program.c_str(), "here") ||
        symlink("tool", "looped/tool") || symlink("../good/tool", ("good/" + std::string(255, 'n')).c_str()))
        abort();
}

std::string outcome(int (*execute)(const char *, char *const *), const SearchCase &search) {
    std::string program = program_path();
    return in_a_process([&](const std::string &folder) {
        make_world(program);
        if (search.path)
            setenv("PATH", search.path, 1);
        else
            unsetenv("PATH");
        std::vector<char *> argv;
        for (size_t i = 0; i <= search.arguments; i++) argv.push_back(strdup(i ? "x y" : "zero"));
        argv.push_back(nullptr);
        pid_t pid = fork();
        if (pid == 0) {
            setenv("PROBE_OUT", (folder + "/state").c_str(), 1);
            setenv("PROBE", program.c_str(), 1);
            int error = execute(search.file, argv.data());
            write_file(folder + "/state", std::string("error ") + strerrorname_np(error) + "\n", 0644);
            _exit(1);
        }
        int status;
        waitpid(pid, &status, 0);
        return "status " + std::to_string(status) + "\n" + contents("state");
    });
}

const std::string long_folder = "/" + std::string(200, 'd'), dots = [] {
    std::string text;
    for (int i = 0; i < 1000; i++) text += "./";
    return text;
}();
const std::string long_but_right = long_folder + ":" + dots + "good";
const std::string too_long = long_folder + "/" + std::string(5000, 'x');
const std::string too_long_in_between = "empty:" + std::string(5000, 'x') + ":good";
const std::string beyond_path_max = [] {
    std::string text;
    for (int i = 0; i < 30; i++) text += long_folder + ":";
    return text + "good";
}();
const std::string name_255(255, 'n'), name_256(256, 'n'), name_300(300, 'n');

const SearchCase searches[] = {
    {"First", "good:empty", "image good/tool\nargument zero\nargument x y\n"},
    {"Second", "empty:good", "image good/tool\n"},
    {"AbsentFolder", "/nothing:good", "image good/tool\n"},
    {"FileAsFolder", "file:good", "image good/tool\n"},
    {"DeniedGoesOn", "denied:good", "image good/tool\n"},
    {"DeniedIsKept", "denied:empty", "error EACCES\n"},
    {"DeniedIsKeptOverNotdir", "denied:file", "error EACCES\n"},
    {"LastErrorCounts", "empty:file", "error ENOTDIR\n"},
    {"NothingAnywhere", "file:empty", "error ENOENT\n"},
    {"LoopStops", "looped:good", "error ELOOP\n"},
    {"EmptyPath", "", "image here\n", "here"},
    {"LeadingColon", ":good", "image here\n", "here"},
    {"TrailingColon", "empty:", "image here\n", "here"},
    {"DoubleColon", "empty::good", "image here\n", "here"},
    {"ColonsOnly", ":::", "error ENOENT\n"},
    {"TrailingSlash", "good/", "image good//tool\n"},
    {"Unset", nullptr, "status 0\n", "true"},
    {"UnsetDoesNotLookHere", nullptr, "error ENOENT\n", "here"},
    {"EmptyName", "good", "error ENOENT\n", ""},
    {"Slash", "good", "error ENOENT\n", "./tool"},
    {"SlashFound", "empty", "image good/tool\n", "good/tool"},
    {"Folder", ".", "error EACCES\n", "good"},
    {"LongElement", long_but_right.c_str(), "./good/tool\n"},
    {"LongerThanPathMax", beyond_path_max.c_str(), "image good/tool\n"},
    {"ElementTooLong", too_long.c_str(), "error ENOENT\n"},
    {"ElementTooLongInBetween", too_long_in_between.c_str(), "image here\n", "here"},
    {"LongestName", "empty:good", "image good/nnn", name_255.c_str()},
    {"NameTooLong", "empty:good", "error ENAMETOOLONG\n", name_256.c_str()},
    {"NameMuchTooLong", "good", "error ENAMETOOLONG\n", name_300.c_str()},
    {"Script", "empty:script", "argument script/tool\nargument x y\nargument x y\n"},
    {"ScriptIsRunThoughGoodFollows", "script:good", "argument script/tool\n"},
    {"ScriptBySlash", "", "argument script/tool\n", "script/tool"},
    {"ScriptWithoutArguments", "script", "argument script/tool\nEND", "tool", 0},
    {"ScriptWithTwelve", "script", "argument script/tool\n", "tool", 12},
    {"ScriptWithThirteen", "script", "argument script/tool\n", "tool", 13},
    {"ScriptWithFourteen", "script", "argument script/tool\n", "tool", 14},
    {"ScriptWithThousands", "script", "argument script/tool\n", "tool", 3000},
};

class PathSearchTable : public testing::TestWithParam<SearchCase> {};

TEST_P(PathSearchTable, IsAsExecvpDoesIt) {
    std::string expected = outcome(execute_genuine, GetParam());
    EXPECT_EQ(outcome(execute_own, GetParam()), expected);
    expected += "END";
    EXPECT_NE(expected.find(GetParam().expected), std::string::npos) << expected;
}

INSTANTIATE_TEST_SUITE_P(Paths, PathSearchTable, testing::ValuesIn(searches),
                         [](const auto &info) { return std::string(info.param.name); });

// An exec that notes what it is asked for and fails as it was told to, one error a call.
struct Pretender {
    std::vector<int> errors;
    std::string asked;
    static int exec(void *context, const char *path, char *const *argv, char *const *) {
        auto &self = *static_cast<Pretender *>(context);
        self.asked += std::string(path);
        if (std::string(path) == "/bin/sh") self.asked += std::string(" ") + argv[1];
        self.asked += ";";
        if (self.errors.empty()) return EIO;
        int error = self.errors.front();
        self.errors.erase(self.errors.begin());
        return error;
    }
};

// What was asked for, and the error of the search.
std::string pretend(std::vector<int> errors, bool shell_fallback = false) {
    Pretender pretender = {errors, ""};
    char zero[] = "zero";
    char *const argv[] = {zero, nullptr};
    int error = path_search({.file = "tool",
                             .path = "a:b:c",
                             .argv = argv,
                             .envp = environ,
                             .shell_fallback = shell_fallback,
                             .exec = Pretender::exec,
                             .context = &pretender});
    return pretender.asked + strerrorname_np(error);
}

TEST(PathSearch, GoesOnAfterWhatMeansThatTheFileIsMissingHere) {
    EXPECT_EQ(pretend({ENOENT, ESTALE, ENOTDIR}), "a/tool;b/tool;c/tool;ENOTDIR");
    EXPECT_EQ(pretend({ENODEV, ETIMEDOUT, ENODEV}), "a/tool;b/tool;c/tool;ENODEV");
    EXPECT_EQ(pretend({ENOENT, EACCES, ETIMEDOUT}), "a/tool;b/tool;c/tool;EACCES");
}

TEST(PathSearch, StopsAtAnyOtherError) {
    for (int error : {EIO, ENOMEM, E2BIG, ETXTBSY, EPERM, ELOOP, ENAMETOOLONG, EISDIR, EINVAL, EAGAIN})
        EXPECT_EQ(pretend({EACCES, error}), std::string("a/tool;b/tool;") + strerrorname_np(error));
    EXPECT_EQ(pretend({ENOEXEC}), "a/tool;ENOEXEC");
}

TEST(PathSearch, GoesOnWhenTheShellIsMissing) {
    EXPECT_EQ(pretend({ENOENT, ENOEXEC, ENOENT, EACCES}, true), "a/tool;b/tool;/bin/sh b/tool;c/tool;EACCES");
    EXPECT_EQ(pretend({ENOEXEC, E2BIG}, true), "a/tool;/bin/sh a/tool;E2BIG");
}

TEST(PathSearch, LeavesErrnoAndTheArgumentsAlone) {
    char zero[] = "zero", one[] = "one";
    char *argv[] = {zero, one, nullptr};
    PathSearch search = {.file = "nothing",
                         .path = "/:/bin",
                         .argv = argv,
                         .envp = environ,
                         .shell_fallback = true,
                         .exec = real_exec,
                         .context = nullptr};
    errno = 4711;
    EXPECT_EQ(path_search(search), ENOENT);
    EXPECT_EQ(errno, 4711);
    EXPECT_EQ(argv[0], zero);
    EXPECT_EQ(argv[1], one);
}

// The memory of a search that ends well in a child stays with the object that both can see.
TEST(PathSearch, MappingsAreTheGivenObjectsUntilReleased) {
    std::string path = std::string(500, 'x');
    Pretender pretender = {{ENOENT}, ""};
    PathMemory memory;
    char zero[] = "zero";
    char *const argv[] = {zero, nullptr};
    int error = path_search({.file = "tool",
                             .path = path.c_str(),
                             .argv = argv,
                             .envp = environ,
                             .shell_fallback = false,
                             .exec = Pretender::exec,
                             .context = &pretender,
                             .memory = &memory});
    EXPECT_EQ(error, ENOENT);
    EXPECT_EQ(pretender.asked, path + "/tool;");
    char *candidate = memory.candidate();
    EXPECT_EQ(std::string(candidate), path + "/tool") << "the mapping that the search made";
    memory.release();
    EXPECT_EQ(madvise(candidate, 1, MADV_NORMAL), -1) << "still mapped";
}

TEST(PathSearch, CurrentPathFollowsTheEnvironment) {
    char *old_path[] = {strdup("PATHS=/wrong"), strdup("XPATH=/wrong"), strdup("PATH=/first"),
                        strdup("PATH=/second"), nullptr};
    char *none[] = {nullptr};
    char **saved = environ;
    environ = old_path;
    EXPECT_STREQ(current_path(), "/first");
    environ = none;
    EXPECT_EQ(current_path(), nullptr);
    environ = nullptr;
    EXPECT_EQ(current_path(), nullptr);
    environ = saved;
    for (char *text : old_path) free(text);
}

}  // namespace
