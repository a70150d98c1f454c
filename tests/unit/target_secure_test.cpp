// SPDX-License-Identifier: MIT
// Secure-execution mode as we work it out against secure-execution mode as the kernel sets it. The judge
// is ld.so: with LD_SHOW_AUXV=1 it prints the auxiliary vector, and in that mode it ignores the variable.
#include <grp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/xattr.h>

#include "elf_file.hpp"

using namespace elf_file;

namespace {

constexpr uid_t user = 1234, other = 1235, stranger = 1236;

struct Caller {
    const char *name;
    uid_t real, effective;
    gid_t real_group, effective_group;
    bool no_new_privileges = false;
};

const Caller callers[] = {
    {"root", 0, 0, 0, 0},
    {"root without new privileges", 0, 0, 0, 0, true},
    {"root that lowered its effective id", 0, user, 0, 0},
    {"root that lowered its effective group", 0, 0, 0, user},
    {"root of another group", 0, 0, user, user},
    {"user", user, user, user, user},
    {"user without new privileges", user, user, user, user, true},
    {"user in a set-user-ID program", user, 0, user, user},
    {"user in a set-group-ID program", user, user, user, other},
    {"another user", other, other, other, other},
};

struct File {
    const char *name;
    uid_t owner;
    gid_t group;
    mode_t mode;
    uint32_t permitted = 0;  // capabilities, the low word
    bool effective = false;
};

constexpr uint32_t net_raw = 1u << 13;
const File files[] = {
    {"plain", 0, 0, 0755},
    {"set-user-ID root", 0, 0, 04755},
    {"set-user-ID root, not readable", 0, 0, 04711},
    {"set-user-ID user", user, 0, 04755},
    {"set-group-ID root", 0, 0, 02755},
    {"set-group-ID user", 0, user, 02755},
    {"set-group-ID without execution by the group", 0, stranger, 02745},
    {"set-user-ID and set-group-ID user", user, user, 06755},
    {"permitted and effective capability", 0, 0, 0755, net_raw, true},
    {"permitted capability", 0, 0, 0755, net_raw, false},
    {"no capability, but the attribute", 0, 0, 0755, 0, false},
};

bool become(const Caller &caller) {
    return setgroups(0, nullptr) == 0 &&
           (!caller.no_new_privileges || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) &&
           setresgid(caller.real_group, caller.effective_group, caller.effective_group) == 0 &&
           setresuid(caller.real, caller.effective, caller.effective) == 0;
}

// '0' or '1' as judged, and as the kernel does it, both from a process with the caller's ids.
std::string judged_and_real(const Caller &caller, const std::string &path) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return "no pipe";
    pid_t child = fork();
    if (child == 0) {
        if (!become(caller)) _exit(9);
        std::string verdict = judged(path, true);
        dprintf(ends[1], "%s\n", verdict.c_str());
        dup2(ends[1], 1);
        char *argv[] = {const_cast<char *>(path.c_str()), nullptr};
        char show[] = "LD_SHOW_AUXV=1";
        char *envp[] = {show, nullptr};
        execve(path.c_str(), argv, envp);
        _exit(9);
    }
    close(ends[1]);
    std::string output;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) output.append(buffer, size_t(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) return "failed";
    const bool real = output.find("AT_SECURE:") == std::string::npos;
    return std::string(output.starts_with("secure-execution\n") ? "1" : "0") + (real ? "1" : "0");
}

std::string install(const Folder &folder, const File &file) {
    std::string path = folder.write("program", contents("/bin/true"), 0755);
    if (chown(path.c_str(), file.owner, file.group) != 0 || chmod(path.c_str(), file.mode) != 0) return "";
    if (std::strstr(file.name, "capability")) {
        const uint32_t value[5] = {0x02000000u | file.effective, file.permitted, 0, 0, 0};
        if (setxattr(path.c_str(), "security.capability", value, sizeof value, 0) != 0) return "";
    }
    return path;
}

}  // namespace

TEST(TargetSecure, AgreesWithTheKernelForEveryCallerAndFile) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to become others");
    int secure = 0, plain = 0;
    for (const File &file : files) {
        Folder folder;
        const std::string path = install(folder, file);
        if (path.empty()) {
            EXPECT_FALSE(getenv("TASKWATCH_TESTS_MUST_RUN")) << file.name << ": not on this file system";
            continue;
        }
        for (const Caller &caller : callers) {
            // Before Linux 6.16 one case differs: set-id bits that give a caller its real id back.
            const std::string both = judged_and_real(caller, path);
            EXPECT_TRUE(both == "00" || both == "11") << caller.name << ", " << file.name << ": " << both;
            ++(both == "11" ? secure : plain);
        }
    }
    EXPECT_GT(secure, 20);
    EXPECT_GT(plain, 20);
}

TEST(TargetSecure, CountsTheInterpretersBitsAndNotTheScripts) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to become others");
    Folder folder;
    const std::string interpreter = install(folder, {"set-user-ID root", 0, 0, 04755});
    const std::string script = folder.write("script", "#!" + interpreter + "\n");
    const Caller caller = callers[5];
    EXPECT_EQ(judged_and_real(caller, script), "11");
    chmod(interpreter.c_str(), 0755);
    chmod(script.c_str(), 04755);
    EXPECT_EQ(judged_and_real(caller, script), "00");
}

TEST(TargetSecure, IgnoresSetIdBitsOnANosuidMount) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to mount");
    Folder folder;
    ASSERT_TRUE(in_child([&] {
        if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, nullptr) != 0) return false;
        if (mount("tmpfs", (folder / "").c_str(), "tmpfs", MS_NOSUID, "mode=755") != 0) return false;
        for (mode_t mode : {04755, 04711, 02755})
            if (judged_and_real(callers[5], install(folder, {"set-id root", 0, 0, mode})) != "00")
                return false;
        return true;
    })) << "no mount in a namespace of its own, or wrong";
}

TEST(TargetSecure, IsNotWorkedOutUnlessAskedFor) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to become others");
    EXPECT_TRUE(in_child([] { return become(callers[2]) && judged("/bin/true", false) == "yes"; }));
    EXPECT_TRUE(
        in_child([] { return become(callers[2]) && judged("/bin/true", true) == "secure-execution"; }));
}

TEST(TargetSecure, KnowsSuForAUserAndForRoot) {
    struct stat state;
    SKIP_UNLESS(stat("/usr/bin/su", &state) == 0 && (state.st_mode & S_ISUID),
                "no set-user-ID /usr/bin/su here");
    SKIP_UNLESS(geteuid() == 0, "needs root, to become others");
    EXPECT_EQ(judged("/usr/bin/su", true), "yes");
    EXPECT_TRUE(
        in_child([] { return become(callers[5]) && judged("/usr/bin/su", true) == "secure-execution"; }));
}
