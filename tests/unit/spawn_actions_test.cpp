// SPDX-License-Identifier: MIT
// spawn() beside the genuine posix_spawn: every file action and every failure of one, posix_spawnp's search,
// and the shell that the old symbol versions fall back to. See spawn_case.hpp for how they are compared.
#include <sys/ioctl.h>

#include "spawn_case.hpp"

using namespace spawn_case;

namespace {

// A session with a terminal of its own as descriptor 10, so that foreground groups mean something.
void take_terminal() {
    setsid();
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    grantpt(master);
    unlockpt(master);
    open_at(10, ptsname(master), O_RDWR | O_NOCTTY);
    ioctl(10, TIOCSCTTY, 0);
}

// Three folders and what they have under the name "tool": nothing, a file that may not be run, the probe.
void make_folders(Call &call) {
    mkdir("empty", 0755);
    mkdir("denied", 0755);
    mkdir("good", 0755);
    write_file("file", "", 0644);
    write_file("denied/tool", "#!/bin/true\n", 0644);
    if (symlink(call.program.c_str(), "good/tool")) abort();
    call.file = "tool";
    call.search_path = true;
}

const NamedCase file_actions[] = {
    {"Close",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY);
         open_at(21, "/dev/null", O_RDONLY);
         posix_spawn_file_actions_addclose(&c.actions, 20);
     },
     {"fd 21 flags"}},
    {"CloseOfAClosedOne", [](Call &c) { posix_spawn_file_actions_addclose(&c.actions, 20); }, {"error 0"}},
    {"CloseOutOfRange",
     [](Call &c) {
         posix_spawn_file_actions_addclose(&c.actions, 200);
         allow_descriptors(100);
     },
     {"error EBADF"}},
    {"Dup2",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY | O_CLOEXEC);
         posix_spawn_file_actions_adddup2(&c.actions, 20, 25);
     },
     {"\nfd 25 flags 8000 mode 666 /dev/null\n"}},
    {"Dup2OntoItselfKeepsItOpen",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY | O_CLOEXEC);
         posix_spawn_file_actions_adddup2(&c.actions, 20, 20);
     },
     {"\nfd 20 flags"}},
    {"Dup2OntoItselfClosed",
     [](Call &c) { posix_spawn_file_actions_adddup2(&c.actions, 20, 20); },
     {"error EBADF"}},
    {"Dup2OfAClosedOne",
     [](Call &c) { posix_spawn_file_actions_adddup2(&c.actions, 20, 21); },
     {"error EBADF"}},
    {"OpenCreates",
     [](Call &c) {
         umask(027);
         posix_spawn_file_actions_addopen(&c.actions, 1, "made", O_WRONLY | O_CREAT | O_APPEND, 0666);
     },
     {"\nfd 1 flags 8401 mode 640 @/made\n"}},
    {"OpenOntoAnotherNumber",
     [](Call &c) { posix_spawn_file_actions_addopen(&c.actions, 33, "/dev/null", O_RDWR, 0); },
     {"\nfd 33 flags 8002 mode 666 /dev/null\n"}},
    {"OpenOntoAnotherNumberDropsCloexec",
     [](Call &c) { posix_spawn_file_actions_addopen(&c.actions, 33, "/dev/null", O_RDWR | O_CLOEXEC, 0); },
     {"\nfd 33 flags"}},
    {"OpenOntoItsNumberKeepsCloexec",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY);
         close(0);
         posix_spawn_file_actions_addopen(&c.actions, 0, "/dev/null", O_RDONLY | O_CLOEXEC, 0);
     },
     {"\nfd 1 flags"}},
    {"OpenOfNothing",
     [](Call &c) { posix_spawn_file_actions_addopen(&c.actions, 0, "nothing", O_RDONLY, 0); },
     {"error ENOENT"}},
    {"OpenFreesItsNumberFirst",
     [](Call &c) {
         allow_descriptors(64);
         while (dup(0) >= 0) {}
         posix_spawn_file_actions_addopen(&c.actions, 40, "/dev/null", O_WRONLY, 0);
         posix_spawn_file_actions_addclose(&c.actions, 41);
         posix_spawn_file_actions_addclose(&c.actions, 42);
         posix_spawn_file_actions_addclose(&c.actions, 43);
     },
     {"\nfd 40 flags 8001 mode 666 /dev/null\n"}},
    {"OpenAtTheLimit",
     [](Call &c) {
         allow_descriptors(64);
         while (dup(0) >= 0) {}
         posix_spawn_file_actions_addchdir_np(&c.actions, "/");
         posix_spawn_file_actions_addopen(&c.actions, 63, "/dev/null", O_WRONLY, 0);
         posix_spawn_file_actions_addopen(&c.actions, 63, "/dev/null", O_WRONLY, 0);
         posix_spawn_file_actions_adddup2(&c.actions, 0, 63);
         allow_descriptors(63);
     },
     {"error EMFILE"}},
    {"Chdir",
     [](Call &c) {
         posix_spawn_file_actions_addchdir_np(&c.actions, "/usr");
         c.file = c.program;
     },
     {"folder /usr\n"}},
    {"ChdirMovesARelativeProgram",
     [](Call &c) { posix_spawn_file_actions_addchdir_np(&c.actions, "/usr"); },
     {"error ENOENT"}},
    {"ChdirToNothing",
     [](Call &c) { posix_spawn_file_actions_addchdir_np(&c.actions, "/nothing"); },
     {"error ENOENT"}},
    {"Fchdir",
     [](Call &c) {
         open_at(20, "/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
         posix_spawn_file_actions_addfchdir_np(&c.actions, 20);
         c.file = c.program;
     },
     {"folder /usr\n"}},
    {"FchdirToAFile",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY);
         posix_spawn_file_actions_addfchdir_np(&c.actions, 20);
     },
     {"error ENOTDIR"}},
    {"Closefrom",
     [](Call &c) {
         for (int fd = 20; fd < 300; fd++) open_at(fd, "/dev/null", O_RDONLY);
         posix_spawn_file_actions_addclosefrom_np(&c.actions, 21);
     },
     {"\nfd 20 flags 8000 mode 666 /dev/null\nSigPnd"}},
    {"ClosefromWithoutCloseRange",
     [](Call &c) {
         for (int fd = 20; fd < 300; fd++) open_at(fd, "/dev/null", O_RDONLY);
         posix_spawn_file_actions_addclosefrom_np(&c.actions, 21);
         refuse_system_call(SYS_close_range, ENOSYS);
     },
     {"\nfd 20 flags 8000 mode 666 /dev/null\nSigPnd"}},
    {"TcsetpgrpOwnGroup",
     [](Call &c) {
         take_terminal();
         posix_spawnattr_setpgroup(&c.attributes, 0);
         c.set_flags(POSIX_SPAWN_SETPGROUP);
         posix_spawn_file_actions_addtcsetpgrp_np(&c.actions, 10);
     },
     {"group own, foreground own"}},
    {"TcsetpgrpParentsGroup",
     [](Call &c) {
         take_terminal();
         posix_spawn_file_actions_addtcsetpgrp_np(&c.actions, 10);
     },
     {"group parent's, foreground parent's"}},
    {"TcsetpgrpOfNoTerminal",
     [](Call &c) {
         open_at(20, "/dev/null", O_RDONLY);
         posix_spawn_file_actions_addtcsetpgrp_np(&c.actions, 20);
     },
     {"error ENOTTY"}},
    {"OrderIsKept",
     [](Call &c) {
         posix_spawn_file_actions_addopen(&c.actions, 20, "probe", O_RDONLY, 0);
         posix_spawn_file_actions_adddup2(&c.actions, 20, 21);
         posix_spawn_file_actions_addclose(&c.actions, 20);
         posix_spawn_file_actions_addchdir_np(&c.actions, "/usr");
         posix_spawn_file_actions_addchdir_np(&c.actions, "lib");
         posix_spawn_file_actions_addopen(&c.actions, 20, "../lib", O_RDONLY, 0);
         c.file = c.program;
     },
     {"\nfd 20 flags 8000 mode 755 /usr/lib\nfd 21", "folder /usr/lib\n"}},
    {"ListWithoutInit",
     [](Call &c) {
         memset(&c.actions, 0, sizeof c.actions);
         posix_spawn_file_actions_addclose(&c.actions, 20);
     },
     {"error 0"}},
    {"WithoutClone3",
     [](Call &c) {
         signal(SIGHUP, SIG_IGN);
         watch_sigchld();
         posix_spawn_file_actions_addopen(&c.actions, 20, "/dev/null", O_RDONLY, 0);
         refuse_system_call(SYS_clone3, ENOSYS);
     },
     {"error 0", "\nfd 20", "runs 1, code 1, status 23"}},
};

const NamedCase searches[] = {
    {"FoundInTheSecond",
     [](Call &c) {
         make_folders(c);
         c.path = "empty:good:denied";
     },
     {"image good/tool\n"}},
    {"DeniedThenFound",
     [](Call &c) {
         make_folders(c);
         c.path = "denied:good";
     },
     {"image good/tool\n"}},
    {"DeniedIsRemembered",
     [](Call &c) {
         make_folders(c);
         c.path = "denied:empty:file:/nothing";
     },
     {"error EACCES"}},
    {"NotFound",
     [](Call &c) {
         make_folders(c);
         c.path = "empty:/nothing";
     },
     {"error ENOENT"}},
    {"LastIsNoFolder",
     [](Call &c) {
         make_folders(c);
         c.path = "empty:file";
     },
     {"error ENOTDIR"}},
    {"EmptyElementIsTheCurrentFolder",
     [](Call &c) {
         c.search_path = true;
         c.file = "probe";
         c.path = "/nothing:";
     },
     {"image probe\n"}},
    {"PathIsUnset",
     [](Call &c) {
         c.search_path = true;
         c.file = "true";
         c.path = "(unset)";
     },
     {"error 0", "status 0"}},
    {"SlashMeansNoSearch",
     [](Call &c) {
         make_folders(c);
         c.path = "good";
         c.file = "empty/tool";
     },
     {"error ENOENT"}},
    {"SearchIsMadeInTheNewFolder",
     [](Call &c) {
         make_folders(c);
         c.path = ".";
         posix_spawn_file_actions_addchdir_np(&c.actions, "good");
     },
     {"image ./tool\n", "folder @/good\n"}},
    {"SearchStopsAtNoProgram",
     [](Call &c) {
         make_folders(c);
         make_script(c, "empty/tool");
         c.file = "tool";
         c.path = "empty:good";
     },
     {"error ENOEXEC"}},
    {"LongElements",
     [](Call &c) {
         make_folders(c);
         c.path = "/" + std::string(3000, 'x') + ":" + std::string(480, '/') + "dev:good";
     },
     {"error ENAMETOOLONG"}},
    {"LongButRight",
     [](Call &c) {
         make_folders(c);
         std::string dots;
         for (int i = 0; i < 300; i++) dots += "./";
         c.path = "empty:" + dots + "good";
     },
     {"image ./././", "/./good/tool\n"}},
    {"ShellForTheOldVersion",
     [](Call &c) {
         make_script(c, "./script");
         c.old_version = true;
     },
     {"argument ./script\nargument \nargument a b\n"}},
    {"ShellWithoutArguments",
     [](Call &c) {
         make_script(c, "./script");
         c.arguments = {};
         c.old_version = true;
     },
     {"argument ./script\nEND"}},
    {"ShellWithManyArguments",
     [](Call &c) {
         make_script(c, "./script");
         c.arguments.assign(5000, "x");
         c.arguments.back() = "last";
         c.old_version = true;
     },
     {"argument x\nargument last\n"}},
    {"ShellGetsTheNameAsAsked",
     [](Call &c) {
         make_folders(c);
         make_script(c, "good/script");
         make_script(c, "script");
         c.search_path = c.old_version = true;
         c.path = "good";
     },
     {"argument script\n"}},
    {"NoShellForAMissingFile",
     [](Call &c) {
         c.file = "./nothing";
         c.old_version = true;
     },
     {"error ENOENT"}},
};

class SpawnActions : public testing::TestWithParam<NamedCase> {};

TEST_P(SpawnActions, IsAsLibcDoesIt) { expect_as_libc(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Files, SpawnActions, testing::ValuesIn(file_actions), name_of);
INSTANTIATE_TEST_SUITE_P(Searches, SpawnActions, testing::ValuesIn(searches), name_of);

}  // namespace
