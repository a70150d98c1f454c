// SPDX-License-Identifier: MIT
// Finds the session's standard output or error for one write, from a process whose own descriptors may
// be something else by now. By device and inode, never by number alone. What is written, and the signals of
// a write, are in sink.cpp, the only place that includes this.
//
// Nothing that is found elsewhere is kept open: whoever reads the other end of a pipe would wait for the end
// of a daemon that has closed its streams.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include "session.hpp"
#include "sys.hpp"

namespace taskwatch {

// A descriptor for one record: a number or a negative errno; ours to close afterwards, or somebody's.
struct Outlet {
    long fd;
    bool close_after = false;
};

inline void release(const Outlet &outlet) {
    if (outlet.close_after && outlet.fd >= 0) sys::call(SYS_close, outlet.fd);
}

inline FileIdentity identity_of(const struct stat &st) {
    return {.dev = st.st_dev, .ino = st.st_ino, .rdev = st.st_rdev};
}

[[gnu::noinline]] inline bool is_file(int fd, const FileIdentity &identity) {
    struct stat st;
    return sys::call(sys::nr_fstat, fd, &st) == 0 && identity_of(st) == identity;
}

// Which numbers of the session's first process are tried: the stream's own, where dash, bash and others keep
// what `command 2>/dev/null` redirects for a while, and the other output, which on a terminal is the same.
struct Places {
    static constexpr int count = 12;
    int stream;
    int operator[](int i) const { return i == 0 ? stream : i < count - 1 ? 9 + i : 3 - stream; }
};

// Under which number of which process a candidate was found. Elsewhere it may be another open file
// description of a regular file: then its offset must not lie before the file's end.
enum class Found { in_place, elsewhere, elsewhere_no_file };

// True if a record can go to `fd` without harm. Not inlined, here and below: the callers' frames would keep
// a struct stat each, on a stack that can be small.
[[gnu::noinline]] inline bool accepts(long fd, const FileIdentity &identity, Found found) {
    struct stat st;
    if (sys::call(sys::nr_fstat, fd, &st) != 0 || identity_of(st) != identity) return false;
    long flags = sys::call(SYS_fcntl, fd, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return false;
    if (found == Found::in_place || !S_ISREG(st.st_mode)) return true;
    if (found == Found::elsewhere_no_file) return false;
    return (flags & O_APPEND) || sys::call(SYS_lseek, fd, 0, SEEK_CUR) == st.st_size;
}

// "/proc/PID/fd/N"
struct ProcPath {
    char text[40];
    ProcPath(pid_t pid, int fd) {
        char *end = text;
        put(end, "/proc/");
        put(end, (unsigned)pid);
        put(end, "/fd/");
        put(end, (unsigned)fd);
        *end = '\0';
    }

  private:
    static void put(char *&end, const char *part) {
        while (*part) *end++ = *part++;
    }
    static void put(char *&end, unsigned number) {
        char digits[12];
        int n = 0;
        do digits[n++] = char('0' + number % 10);
        while (number /= 10);
        while (n) *end++ = digits[--n];
    }
};

// The same open file description as the first process has, of a socket too. EPERM: it may not be traced.
[[gnu::noinline]] inline Outlet duplicate_from_root(int stream, const FileIdentity &identity) {
    constexpr long pidfd_open = 434, pidfd_getfd = 438;  // newer than some headers
    long root = sys::call(pidfd_open, session.stream_process(), 0);
    if (root < 0) return {root};
    Outlet found{-EBADF};
    Places places{stream};
    for (int i = 0; i < Places::count && found.fd == -EBADF; i++) {
        long fd = sys::call(pidfd_getfd, root, places[i], 0);
        if (fd >= 0 && accepts(fd, identity, i == 0 ? Found::in_place : Found::elsewhere))
            found = {fd, true};
        else if (fd >= 0)
            sys::call(SYS_close, fd);
        else if (fd != -EBADF)
            found.fd = fd;
    }
    sys::call(SYS_close, root);
    return found;
}

// Through a process's links, as a rule the first one's, which can be followed where it may not be traced (Yama, a container).
// Not a regular file: the session's own description has an offset of its own and would write over our line.
[[gnu::noinline]] inline Outlet reopen_from(pid_t process, int stream, const FileIdentity &identity) {
    Places places{stream};
    for (int i = 0; i < Places::count; i++) {
        ProcPath path(process, places[i]);
        struct stat st;
        if (sys::call(sys::nr_fstatat, AT_FDCWD, path.text, &st, 0) != 0 || identity_of(st) != identity ||
            S_ISREG(st.st_mode))
            continue;
        // O_NONBLOCK for the open alone: a FIFO without a reader. A slow reader is waited for, as on fd 2.
        constexpr int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
        long fd = sys::call(SYS_openat, AT_FDCWD, path.text, flags);
        if (fd < 0) return {fd};
        if (is_file((int)fd, identity)) {
            sys::call(SYS_fcntl, fd, F_SETFL, O_APPEND);
            return {fd, true};
        }
        sys::call(SYS_close, fd);
    }
    return {-EBADF};
}

// For a process whose own number is something else, or open for reading only.
[[gnu::noinline]] inline Outlet borrow_session_stream(int stream) {
    const FileIdentity &identity = session.stream(stream);
    // The same terminal or pipe on the program's other output is as good.
    int other = 3 - stream;
    if (accepts(other, identity, Found::elsewhere_no_file)) return {other};
    Outlet found = duplicate_from_root(stream, identity);
    if (found.fd >= 0) return found;
    if (found.fd == -EBADF || found.fd == -ESRCH) {
        // The first process has ended or closed it. In its supervisor a name is left, that holds nothing.
        Outlet named = reopen_from(sys::getpid(), stream, identity);
        return named.fd >= 0 ? named : found;
    }
    return reopen_from(session.stream_process(), stream, identity);
}

inline Outlet session_stream(int stream) {
    const FileIdentity &identity = session.stream(stream);
    if (identity == FileIdentity{}) return {-EBADF};
    if (is_file(stream, identity)) return {stream};
    return borrow_session_stream(stream);
}

// What it is, without opening it. False: it is out of sight.
[[gnu::noinline]] inline bool look_at_session_stream(int stream, struct stat &ret_stat) {
    const FileIdentity &identity = session.stream(stream);
    if (sys::call(sys::nr_fstat, stream, &ret_stat) == 0 && identity_of(ret_stat) == identity) return true;
    Places places{stream};
    for (int i = 0; i < Places::count; i++) {
        ProcPath path(session.stream_process(), places[i]);
        if (sys::call(sys::nr_fstatat, AT_FDCWD, path.text, &ret_stat, 0) == 0 &&
            identity_of(ret_stat) == identity)
            return true;
    }
    return false;
}

}  // namespace taskwatch
