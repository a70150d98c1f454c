// SPDX-License-Identifier: MIT
// The file that is about to be executed: opened without side effects, read in pieces. Part of target.cpp
// and included there alone. What its contents mean is not known here.
#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "sys.hpp"

namespace taskwatch {

class TargetFile {
  public:
    TargetFile(int directory, const char *path) { open(directory, path); }
    ~TargetFile() { close(); }
    TargetFile(const TargetFile &) = delete;
    TargetFile &operator=(const TargetFile &) = delete;

    // Leaves the old file for another one. `path` "" with a descriptor: the file that is open there.
    void open(int directory, const char *path);
    bool is_regular() const { return (mode_ & S_IFMT) == S_IFREG; }
    // True if the kernel will start this file, run by the calling thread, in secure-execution mode.
    bool starts_secure() const;
    // As pread(2): bytes read, 0 when there are none.
    size_t read(void *to, size_t size, uint64_t offset) const;

  private:
    void close() {
        if (fd_ >= 0 && owned_) sys::call(SYS_close, fd_);
        fd_ = -1;
        mode_ = 0;
    }
    static constexpr int read_only = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

    void open_again(int descriptor);
    bool is_nosuid() const;
    bool has_capabilities(bool no_new_privileges) const;

    int fd_ = -1;
    bool owned_ = true;
    mode_t mode_ = 0;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
};

// The program's own descriptor, or if that is for writing alone or O_PATH, a readable one of the same file.
[[gnu::noinline]] inline void TargetFile::open_again(int descriptor) {
    char probe;
    fd_ = descriptor;
    owned_ = false;
    if (sys::call(SYS_pread64, descriptor, &probe, 1, 0) >= 0) return;
    char path[32] = "/proc/self/fd/";
    char digits[12];
    int n = 0;
    do {
        digits[n++] = char('0' + descriptor % 10);
        descriptor /= 10;
    } while (descriptor > 0);
    char *to = path + std::strlen(path);
    while (n) *to++ = digits[--n];
    *to = '\0';
    long opened = sys::call(SYS_openat, AT_FDCWD, path, read_only);
    if (opened < 0) return;
    fd_ = (int)opened;
    owned_ = true;
}

[[gnu::noinline]] inline void TargetFile::open(int directory, const char *path) {
    close();
    const bool by_descriptor = path && !*path && directory >= 0;
    struct stat state;
    if (sys::call(sys::nr_fstatat, directory, path, &state, by_descriptor ? AT_EMPTY_PATH : 0) != 0) return;
    mode_ = state.st_mode;
    uid_ = state.st_uid;
    gid_ = state.st_gid;
    // Opening anything else has effects: it wakes a FIFO's writer, rewinds a tape, arms a watchdog.
    if (!is_regular()) return;
    owned_ = true;
    if (by_descriptor)
        open_again(directory);
    else
        fd_ = (int)sys::call(SYS_openat, directory, path, read_only);
    // Execute-only, as some systems install sudo: that it is set-user-ID can be known all the same.
    if (fd_ < 0) fd_ = (int)sys::call(SYS_openat, directory, path, O_PATH | O_CLOEXEC);
}

inline size_t TargetFile::read(void *to, size_t size, uint64_t offset) const {
    if (fd_ < 0 || offset > uint64_t{INT64_MAX} - size) return 0;
    long n = sys::call(SYS_pread64, fd_, to, size, (long)offset);
    return n > 0 ? (size_t)n : 0;
}

[[gnu::noinline]] inline bool TargetFile::is_nosuid() const {
    struct statfs state;
#if defined(__i386__)
    long error = sys::call(SYS_fstatfs64, fd_, sizeof state, &state);
#else
    long error = sys::call(SYS_fstatfs, fd_, &state);
#endif
    return error == 0 && (state.f_flags & 2 /* ST_NOSUID */);
}

// Capabilities that this file would give to a user who is not root. A revision that names another user
// namespace's root (3; the kernel shows ours as 2) is not honoured here. capabilities(7).
inline bool TargetFile::has_capabilities(bool no_new_privileges) const {
    uint32_t value[6] = {};
    long size = sys::call(SYS_fgetxattr, fd_, "security.capability", value, sizeof value);
    if (size < 12 || (value[0] & 0xff000000u) == 0x03000000u) return false;
    const bool effective = value[0] & 1;
    // Without the effective bit the file raises what is permitted, and no_new_privs takes that back.
    return effective || (!no_new_privileges && (value[1] || (size >= 20 && value[3])));
}

// As bprm_creds_from_file() and cap_bprm_creds_from_file() work it out in Linux 6.16. Before that a caller
// whose ids differ was not secure if set-id bits gave it its real ids back; such a file is not worth a look
// at the kernel's version.
inline bool TargetFile::starts_secure() const {
    uid_t uid = 0, euid = 0, saved_uid = 0;
    gid_t gid = 0, egid = 0, saved_gid = 0;
    sys::call(sys::nr_getresuid, &uid, &euid, &saved_uid);
    sys::call(sys::nr_getresgid, &gid, &egid, &saved_gid);
    if (uid != euid || gid != egid) return true;
    const bool set_uid = (mode_ & S_ISUID) && uid_ != euid;
    const bool set_gid = (mode_ & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && gid_ != egid;
    if (!set_uid && !set_gid && uid == 0) return false;
    const bool no_new_privileges = sys::call(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    const bool gains =
        ((set_uid || set_gid) && !no_new_privileges) || (uid != 0 && has_capabilities(no_new_privileges));
    return gains && !is_nosuid();
}

// A piece of the file, read again when something outside of it is asked for.
class TargetWindow {
  public:
    explicit TargetWindow(const TargetFile &file) : file_(file) {}

    // `size` bytes from `offset` on, or null if the file does not have them. Valid until the next call.
    const char *bytes(uint64_t offset, size_t size) {
        if (size > sizeof buffer_) return nullptr;
        if (offset < start_ || offset - start_ > length_ || length_ - (offset - start_) < size) {
            start_ = offset;
            length_ = file_.read(buffer_, sizeof buffer_, offset);
            if (length_ < size) return nullptr;
        }
        return buffer_ + (offset - start_);
    }
    template <typename T>
    bool get(uint64_t offset, T &ret_value) {
        const char *from = bytes(offset, sizeof ret_value);
        if (from) std::memcpy(&ret_value, from, sizeof ret_value);
        return from;
    }
    // A NUL-terminated text of at most `size` bytes, the NUL included, or null.
    const char *text(uint64_t offset, size_t size) {
        const char *from = bytes(offset, 1);
        if (!from) return nullptr;
        if (available(offset) < size) {
            // It may be cut by the window's end, or by the file's.
            start_ = offset;
            length_ = file_.read(buffer_, sizeof buffer_, offset);
            from = buffer_;
        }
        size_t limit = available(offset) < size ? available(offset) : size;
        return std::memchr(from, '\0', limit) ? from : nullptr;
    }
    // The first `size` bytes, filled up with zeros, to be changed in place.
    char *head(size_t size) {
        start_ = 0;
        length_ = file_.read(buffer_, sizeof buffer_, 0);
        if (length_ < size) std::memset(buffer_ + length_, 0, size - length_);
        return buffer_;
    }

  private:
    size_t available(uint64_t offset) const { return length_ - size_t(offset - start_); }

    const TargetFile &file_;
    uint64_t start_ = 0;
    size_t length_ = 0;
    // The 13 program headers of an ordinary program and the name of its loader lie within.
    char buffer_[832];
};

}  // namespace taskwatch
