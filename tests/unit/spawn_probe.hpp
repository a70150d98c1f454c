// SPDX-License-Identifier: MIT
// The image that a case of spawn_case.hpp executes: this very test program. With PROBE_OUT in its environment
// it writes down what it finds itself to be and ends before any test runs.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace spawn_case {

inline std::string link_target(const std::string &path) {
    char target[PATH_MAX];
    ssize_t length = readlink(path.c_str(), target, sizeof target);
    std::string text(target, length > 0 ? size_t(length) : 0);
    for (const char *kind : {"pipe:", "socket:", "/dev/pts/"})  // numbered anew in each run
        if (text.starts_with(kind)) return kind;
    return text;
}

inline std::string contents(const std::string &path) {
    std::string text;
    if (FILE *file = fopen(path.c_str(), "re")) {
        for (int c; (c = getc(file)) != EOF;) text += char(c);
        fclose(file);
    }
    return text;
}

inline void write_file(const std::string &path, const std::string &text, mode_t mode) {
    FILE *file = fopen(path.c_str(), "we");
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
    chmod(path.c_str(), mode);
}

inline const char *whose(pid_t id, pid_t parents) {
    return id == getpid() ? "own" : id == parents ? "parent's" : "other";
}

// The child's side. Descriptors first: everything after this opens some.
inline void write_state(const char *path, int argc, char **argv) {
    std::string text;
    DIR *directory = opendir("/proc/self/fd");
    std::vector<std::string> descriptors(1024);
    while (dirent *entry = readdir(directory)) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
        struct stat status;
        fstat(fd, &status);
        char line[64];
        snprintf(line, sizeof line, "fd %d flags %x mode %o ", fd, fcntl(fd, F_GETFL),
                 status.st_mode & 07777);
        descriptors[size_t(fd)] = line + link_target("/proc/self/fd/" + std::string(entry->d_name)) + "\n";
    }
    closedir(directory);
    for (auto &line : descriptors) text += line;
    std::string status = contents("/proc/self/status");
    for (const char *key : {"SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:", "SigCgt:", "Umask:"}) {
        size_t at = status.find(key);
        text += status.substr(at, status.find('\n', at) + 1 - at);
    }
    sched_param parameter = {};
    sched_getparam(0, &parameter);
    uid_t uid[3];
    gid_t gid[3];
    getresuid(uid, uid + 1, uid + 2);
    getresgid(gid, gid + 1, gid + 2);
    int tty = open("/dev/tty", O_RDONLY | O_CLOEXEC);
    char line[256];
    snprintf(line, sizeof line,
             "policy %d priority %d\nids %u %u %u, %u %u %u\nsession %s, group %s, foreground %s\n",
             sched_getscheduler(0), parameter.sched_priority, uid[0], uid[1], uid[2], gid[0], gid[1], gid[2],
             whose(getsid(0), getsid(getppid())), whose(getpgid(0), getpgid(getppid())),
             tty < 0 ? "none" : whose(tcgetpgrp(tty), getpgid(getppid())));
    text += line;
    text += "folder " + link_target("/proc/self/cwd") + "\nimage " +
            reinterpret_cast<const char *>(getauxval(AT_EXECFN)) + "\n";
    for (int i = 0; i < argc; i++) text += std::string("argument ") + argv[i] + "\n";
    write_file(path, text, 0644);
}

[[gnu::constructor]] inline void become_probe(int argc, char **argv, char **) {
    const char *path = getenv("PROBE_OUT");
    if (!path) return;
    write_state(path, argc, argv);
    _exit(23);
}

}  // namespace spawn_case
