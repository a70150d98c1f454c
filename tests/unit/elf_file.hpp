// SPDX-License-Identifier: MIT
// Small executables made of bytes, in a folder that goes away, and what judge_target() says of them.
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "target.hpp"

// A skip says why, and is a failure where skips are.
#define SKIP_UNLESS(condition, why)                                            \
    if (!(condition)) {                                                        \
        if (getenv("TASKWATCH_TESTS_MUST_RUN")) FAIL() << "must run: " << why; \
        GTEST_SKIP() << why;                                                   \
    }

namespace elf_file {

class Folder {
  public:
    Folder() {
        std::string name = (std::filesystem::temp_directory_path() / "taskwatch-target-XXXXXX").string();
        if (!mkdtemp(name.data())) std::abort();
        path_ = name;
        chmod(name.c_str(), 0755);
    }
    ~Folder() { std::filesystem::remove_all(path_); }
    std::string operator/(const std::string &name) const { return path_ + "/" + name; }
    std::string write(const std::string &name, const std::string &bytes, mode_t mode = 0755) const {
        std::string path = *this / name;
        unlink(path.c_str());
        std::ofstream(path, std::ios::binary) << bytes;
        chmod(path.c_str(), mode);
        return path;
    }

  private:
    std::string path_;
};

inline std::string contents(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Image {
    std::string interpreter;               // "" for none
    std::vector<std::string> needed = {};  // DT_NEEDED
    std::string soname = "";
    uint16_t machine = EM_X86_64;
    uint16_t type = ET_DYN;
    unsigned char file_class = ELFCLASS64;
    uint64_t base = 0x400000;  // address of the file's first byte
    uint64_t headers_at = sizeof(Elf64_Ehdr);
    uint16_t spare_headers = 0;  // PT_NULL before the others
};

template <typename T>
void put(std::string &bytes, size_t at, const T &value) {
    if (bytes.size() < at + sizeof value) bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

// The bytes of an image with one PT_LOAD over the whole file.
inline std::string make(const Image &image) {
    const bool has_dynamic = !image.needed.empty() || !image.soname.empty();
    std::vector<Elf64_Phdr> headers(image.spare_headers);
    const size_t count = image.spare_headers + 1u + !image.interpreter.empty() + has_dynamic;
    uint64_t at = image.headers_at + count * sizeof(Elf64_Phdr);
    std::string bytes(at, '\0');

    if (!image.interpreter.empty()) {
        Elf64_Phdr header = {};
        header.p_type = PT_INTERP;
        header.p_offset = at;
        header.p_filesz = image.interpreter.size() + 1;
        headers.push_back(header);
        bytes += image.interpreter + '\0';
    }
    std::vector<Elf64_Dyn> dynamic;
    std::string strings(1, '\0');
    auto add = [&](int64_t tag, const std::string &text) {
        dynamic.push_back({tag, {strings.size()}});
        strings += text + '\0';
    };
    for (const std::string &name : image.needed) add(DT_NEEDED, name);
    if (!image.soname.empty()) add(DT_SONAME, image.soname);
    if (has_dynamic) {
        dynamic.push_back({DT_STRTAB, {image.base + bytes.size()}});
        dynamic.push_back({DT_NULL, {0}});
        bytes += strings;
        Elf64_Phdr header = {};
        header.p_type = PT_DYNAMIC;
        header.p_offset = bytes.size();
        header.p_filesz = dynamic.size() * sizeof(Elf64_Dyn);
        headers.push_back(header);
        for (const Elf64_Dyn &entry : dynamic) put(bytes, bytes.size(), entry);
    }
    Elf64_Phdr load = {};
    load.p_type = PT_LOAD;
    load.p_vaddr = image.base;
    load.p_filesz = bytes.size();
    headers.push_back(load);

    Elf64_Ehdr start = {};
    std::memcpy(start.e_ident, ELFMAG, SELFMAG);
    start.e_ident[EI_CLASS] = image.file_class;
    start.e_ident[EI_DATA] = ELFDATA2LSB;
    start.e_type = image.type;
    start.e_machine = image.machine;
    start.e_phoff = image.headers_at;
    start.e_phentsize = sizeof(Elf64_Phdr);
    start.e_phnum = uint16_t(headers.size());
    put(bytes, 0, start);
    for (size_t i = 0; i < headers.size(); ++i)
        put(bytes, image.headers_at + i * sizeof(Elf64_Phdr), headers[i]);
    return bytes;
}

inline const char glibc[] = "/lib64/ld-linux-x86-64.so.2";

// "yes", the reason why not, or "yes, behind libasan.so.8".
inline std::string judged(const std::string &path, bool secure = false, const char *library = nullptr,
                          int directory = AT_FDCWD) {
    errno = 4321;
    taskwatch::Target target = taskwatch::judge_target({directory, path.c_str(), library, secure});
    EXPECT_EQ(errno, 4321);
    EXPECT_EQ(target.loads_us, target.reason == nullptr);
    const std::string reason = target.reason ? target.reason : "";
    EXPECT_EQ(target.ignores_preload, reason == "static" || reason == "secure-execution");
    if (!target.loads_us) return reason;
    return target.first_library[0] ? std::string("yes, behind ") + target.first_library : "yes";
}

// Runs `task` in a forked child, as a body that may change its ids. True if it returned true.
template <typename Task>
bool in_child(Task task) {
    pid_t child = fork();
    if (child == 0) _exit(task() ? 0 : 1);
    int status = 0;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace elf_file
