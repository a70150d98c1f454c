// SPDX-License-Identifier: MIT
#include "scratch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

extern char **environ;

namespace taskwatch {
namespace {

// A folder of this check's own, which goes with it.
class Folder {
  public:
    Folder() {
        std::string path = (std::filesystem::temp_directory_path() / "taskwatch-check-XXXXXX").string();
        if (!mkdtemp(path.data())) throw std::runtime_error(path + ": " + std::strerror(errno));
        path_ = path;
        // For a watcher that gives up root.
        chmod(path.c_str(), 0711);
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string operator/(const char *name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

void write_file(const std::string &path, const std::string &content, mode_t mode) {
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
}

// The beginning of a 32-bit program: the library is not for it, and the kernel refuses it for its lack of segments.
std::string foreign_image() {
    std::string image(52, '\0');
    const char start[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    std::copy(std::begin(start), std::end(start), image.begin());
    image[16] = 2;   // a program
    image[18] = 3;   // i386
    image[20] = 1;   // of this version of the format
    image[40] = 52;  // the size of this header
    return image;
}

// Waits for the process; ends its group if that takes too long.
bool wait_or_end(pid_t pid, int &status) {
    int fd = int(syscall(SYS_pidfd_open, pid, 0));
    pollfd ended{fd, POLLIN, 0};
    bool hung = fd >= 0 && poll(&ended, 1, time_limit_s * 1000) == 0;
    if (hung) kill(-pid, SIGKILL);
    waitpid(pid, &status, 0);
    // What it left behind is ours now, and gone before its memory is looked at.
    kill(-pid, SIGKILL);
    while (waitpid(-pid, nullptr, 0) > 0) continue;
    if (fd >= 0) close(fd);
    return hung;
}

// A session that is ended from outside leaves its memory: nobody is attached to it, and `pid` made it.
void remove_segments(pid_t pid) {
    std::ifstream table("/proc/sysvipc/shm");
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        std::istringstream row(line);
        long key, id, size, maker, last, attached;
        std::string permissions;
        if (row >> key >> id >> permissions >> size >> maker >> last >> attached && maker == pid && attached == 0)
            shmctl(int(id), IPC_RMID, nullptr);
    }
}

pid_t start(const std::vector<std::string> &words, const std::vector<std::string> &environment, const char *output) {
    std::vector<char *> argv, envp;
    for (const std::string &word : words) argv.push_back(const_cast<char *>(word.c_str()));
    for (const std::string &entry : environment) envp.push_back(const_cast<char *>(entry.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    int error = posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), envp.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error) throw std::runtime_error(words[0] + ": " + std::strerror(error));
    return pid;
}

std::vector<std::string> environment_for(const Setting &setting, const std::string &record) {
    std::vector<std::string> result;
    for (char **entry = environ; *entry; entry++)
        if (std::strncmp(*entry, "TASKWATCH_", 10) != 0 && std::strncmp(*entry, "LD_PRELOAD=", 11) != 0)
            result.emplace_back(*entry);
    const std::string first = setting.folder + "/check-first.so", last = setting.folder + "/check-last.so";
    result.push_back("LD_PRELOAD=" + first + ":" + setting.library);
    result.push_back("TASKWATCH_WATCHERS=" + first + ":" + setting.watcher + ":" + last);
    result.push_back("TASKWATCH_STRICT=1");  // a watcher that is refused is told by status 125
    result.push_back(CHECK_VARIABLE "=" + record);
    if (!setting.options.empty()) result.push_back(setting.variable + "=" + setting.options);
    return result;
}

}  // namespace

Outcome run_scratch(const Setting &setting, unsigned place) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);  // for wait_or_end
    Folder folder;
    const std::string record = folder / "record", foreign = folder / "foreign", output = folder / "output";
    write_file(record, std::string(sizeof(check_record), '\0'), 0666);
    write_file(foreign, foreign_image(), 0755);
    write_file(output, "", 0666);
    Outcome outcome;
    pid_t pid = start({"/proc/self/exe", "drive", std::to_string(place), setting.watcher, foreign},
                      environment_for(setting, record), output.c_str());
    outcome.hung = wait_or_end(pid, outcome.status);
    remove_segments(pid);
    std::ifstream(record, std::ios::binary).read(reinterpret_cast<char *>(outcome.record.get()), sizeof(check_record));
    std::stringstream text;
    text << std::ifstream(output).rdbuf();
    outcome.output = text.str();
    return outcome;
}

ExecCost measure_exec(const std::string &libraries) {
    constexpr int rounds = 21;
    std::vector<double> times[2];
    const std::vector<std::string> environments[2] = {{}, {"LD_PRELOAD=" + libraries}};
    for (int round = 0; round < 2 * rounds; round++) {  // interleaved: what else the machine does hits both
        auto begin = std::chrono::steady_clock::now();
        pid_t pid = start({"/bin/true"}, environments[round % 2], "/dev/null");
        int status;
        waitpid(pid, &status, 0);
        times[round % 2].push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count());
    }
    for (auto &one : times) std::nth_element(one.begin(), one.begin() + rounds / 2, one.end());
    return {times[0][rounds / 2], times[1][rounds / 2]};
}

}  // namespace taskwatch
