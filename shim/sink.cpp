// SPDX-License-Identifier: MIT
// Where watchers write (taskwatch_sink_* and taskwatch_write of taskwatch.h): finds a descriptor that
// is still the file it was, and sees to it that no signal of a failed write reaches the program. How the
// session's own streams are found is in session_stream.hpp; what a record looks like is the watcher's
// business.
//
// We are guests in the program's descriptor table. A number alone proves nothing: the program closes, reuses
// and redirects numbers, so each write is preceded by one fstat(). A descriptor that is not ours any more is
// the program's: it is never closed here.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <taskwatch/taskwatch.h>

#include <atomic>

#include "export.hpp"
#include "session.hpp"
#include "process.hpp"
#include "session_stream.hpp"
#include "sink.hpp"
#include "sys.hpp"
#include "thread.hpp"

namespace taskwatch {
namespace {

// Bits of taskwatch_sink.state.
enum : uint32_t {
    kind_known = 1,   // a file sink: the next bit is valid
    kind_stream = 2,  // pipe, terminal or socket
    torn = 4,         // the last record was cut off by the kernel: the next one starts a new line
};

// The three signals that a write can raise (write(2), and tty_ioctl(4) for `stty tostop`).
constexpr sys::SignalMask write_signals =
    sys::signal_bit(SIGPIPE) | sys::signal_bit(SIGXFSZ) | sys::signal_bit(SIGTTOU);

// Blocks them for one write. SIGTTOU is not even raised while it is blocked; the other two then pend for
// this thread alone and are taken back, unless one of the program's own was pending before: two would have
// become one.
class WriteSignals {
  public:
    WriteSignals() : blocked_by_us_(!self().signals_blocked) {
        sys::SignalMask hidden = write_signals;  // by somebody else than us, so that one can be pending
        if (blocked_by_us_) {
            sys::SignalMask block = write_signals;
            sys::call(SYS_rt_sigprocmask, SIG_BLOCK, &block, &program_, sizeof block);
            hidden = program_;
        }
        if (hidden & write_signals) sys::call(SYS_rt_sigpending, &pending_before_, sizeof pending_before_);
    }
    ~WriteSignals() {
        if (blocked_by_us_) sys::set_signal_mask(program_);
    }
    WriteSignals(const WriteSignals &) = delete;
    WriteSignals &operator=(const WriteSignals &) = delete;

    void take_back(long error) const {
        sys::SignalMask raised = error == -EPIPE   ? sys::signal_bit(SIGPIPE)
                                 : error == -EFBIG ? sys::signal_bit(SIGXFSZ)
                                                   : 0;
        if (raised == 0 || (pending_before_ & raised)) return;
        timespec at_once = {};
        sys::call(SYS_rt_sigtimedwait, &raised, nullptr, &at_once, sizeof raised);
    }

  private:
    bool blocked_by_us_;
    sys::SignalMask program_ = 0;
    sys::SignalMask pending_before_ = 0;
};

// The character devices of drivers/char/mem.c (null, zero, full, kmsg) take a record of any length.
bool is_stream(const struct stat &st) {
    constexpr unsigned memory_devices = 1;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
           (S_ISCHR(st.st_mode) && major(st.st_rdev) != memory_devices);
}

// 1 or 2 for one of the session's standard streams, 0 for a file.
int stream_number(const taskwatch_sink &sink) {
    if (!sink.path) return 2;
    return sink.path[0] == '-' && sink.path[1] == '\0' ? 1 : 0;
}

// --- a file

// Opens `path` for appending. O_NONBLOCK for the open alone: a FIFO that nobody reads must not hold the
// program.
long open_file(const char *path, struct stat &ret_stat) {
    constexpr int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    // Without O_CREAT first: fs.protected_regular refuses it for an existing file of another user in /tmp.
    long fd = sys::call(SYS_openat, AT_FDCWD, path, flags, 0);
    if (fd == -ENOENT) fd = sys::call(SYS_openat, AT_FDCWD, path, flags | O_CREAT, 0600);
    if (fd < 0) return fd;
    long error = sys::call(sys::nr_fstat, fd, &ret_stat);
    if (error < 0) {
        sys::call(SYS_close, fd);
        return error;
    }
    if (!S_ISREG(ret_stat.st_mode)) sys::call(SYS_fcntl, fd, F_SETFL, O_APPEND);
    return fd;
}

// Moves a new descriptor out of the numbers that programs expect to get next. The last of the 64 that the kernel
// keeps in a process itself: with a higher one it makes a larger table, 2 us in each process and again in each of its
// forks. Less where RLIMIT_NOFILE is small. Negative: it cannot be moved.
long move_up(long fd) {
    for (int from : {60, 50, 25, 12}) {
        long high = sys::call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
        if (high < 0) continue;
        sys::call(SYS_close, fd);
        return high;
    }
    return -EMFILE;
}

FileIdentity known_identity(taskwatch_sink &sink) {
    return {.dev = std::atomic_ref(sink.dev).load(std::memory_order_relaxed),
            .ino = std::atomic_ref(sink.ino).load(std::memory_order_relaxed),
            .rdev = std::atomic_ref(sink.rdev).load(std::memory_order_relaxed)};
}

// sink.fd is number + 1, 0, or minus the pid of the process that is just filling in the identity. The
// child of a fork can inherit that mark from a thread that it does not have: the pid tells.
bool publish(taskwatch_sink &sink, int known, long fd, const struct stat &st) {
    std::atomic_ref<int> number(sink.fd);
    int mine = -sys::getpid();
    if (known == mine || !number.compare_exchange_strong(known, mine)) return false;
    if (known > 0 && is_file(known - 1, known_identity(sink))) {
        // Another thread was faster and got the old number: ours would make it a leak.
        number.store(known, std::memory_order_release);
        return false;
    }
    std::atomic_ref(sink.dev).store(st.st_dev, std::memory_order_relaxed);
    std::atomic_ref(sink.ino).store(st.st_ino, std::memory_order_relaxed);
    std::atomic_ref(sink.rdev).store(st.st_rdev, std::memory_order_relaxed);
    number.store((int)fd + 1, std::memory_order_release);
    return true;
}

[[gnu::noinline]] Outlet file_outlet(taskwatch_sink &sink) {
    int known = std::atomic_ref(sink.fd).load(std::memory_order_acquire);
    if (known > 0 && is_file(known - 1, known_identity(sink))) return {known - 1};
    struct stat st;
    long fd = open_file(sink.path, st);
    if (fd < 0) return {fd};
    std::atomic_ref(sink.state)
        .fetch_or(kind_known | (is_stream(st) ? kind_stream : 0u), std::memory_order_relaxed);
    // Memory is shared with the creator, descriptors are not: what we remembered, the creator would use.
    const Thread &thread = self();
    if (thread.in_vfork_child() || thread.foreign_tls) return {fd, true};
    long high = move_up(fd);
    if (high < 0) return {fd, true};
    return {high, !publish(sink, known, high, st)};
}

// --- writing

Outlet outlet_of(taskwatch_sink &sink) {
    int stream = stream_number(sink);
    return stream ? session_stream(stream) : file_outlet(sink);
}

// The open file as a number, never 0.
uint64_t file_number(long fd) {
    struct stat st;
    if (sys::call(sys::nr_fstat, fd, &st) < 0) return 1;
    return ((uint64_t)st.st_dev << 40 ^ st.st_ino) | 1;
}

// One system call, unless somebody's record was torn. 0, or a negative errno; EIO for a record of which only a
// part was taken: the session is told, because the next writer to that file is as a rule another process, whose
// record would be lost with this one.
long write_record(taskwatch_sink &sink, long fd, const void *record, size_t length, const WriteSignals &signals) {
    std::atomic_ref<uint32_t> state(sink.state);
    const uint64_t torn_file = session.torn_file();
    const bool torn_by_another = torn_file != 0 && torn_file == file_number(fd);
    const bool new_line = torn_by_another || (state.load(std::memory_order_relaxed) & torn);
    const iovec parts[2] = {{const_cast<char *>("\n"), 1}, {const_cast<void *>(record), length}};
    long result;
    do {
        result = new_line ? sys::call(SYS_writev, fd, parts, 2) : sys::call(SYS_write, fd, record, length);
    } while (result == -EINTR);
    if (result < 0) {
        signals.take_back(result);
        return result;
    }
    if ((size_t)result < length + new_line) {
        state.fetch_or(torn, std::memory_order_relaxed);
        session.set_torn_file(file_number(fd));
        return -EIO;
    }
    if (new_line) state.fetch_and(~torn, std::memory_order_relaxed);
    if (torn_by_another) session.set_torn_file(0);
    return 0;
}

long write_to(taskwatch_sink &sink, const void *record, size_t length) {
    WriteSignals signals;
    Outlet outlet = outlet_of(sink);
    if (outlet.fd < 0) return outlet.fd;
    long result = write_record(sink, outlet.fd, record, length, signals);
    release(outlet);
    int stream = stream_number(sink);
    if (result != -EBADF || stream == 0) return result;
    // It is the session's file, but the program has it open for reading only.
    outlet = borrow_session_stream(stream);
    if (outlet.fd < 0) return outlet.fd;
    result = write_record(sink, outlet.fd, record, length, signals);
    release(outlet);
    return result;
}

// What the sink's file is, without opening it. False: it cannot be told.
bool look_at(const taskwatch_sink &sink, struct stat &ret_stat) {
    int stream = stream_number(sink);
    if (stream) return look_at_session_stream(stream, ret_stat);
    return sys::call(sys::nr_fstatat, AT_FDCWD, sink.path, &ret_stat, 0) == 0;
}

}  // namespace

// Behind a seccomp filter each system call may be the one that kills, and no write is safe without the others.
long write_uncounted(taskwatch_sink &sink, const void *record, size_t length) {
    return process.quiet ? -EPERM : write_to(sink, record, length);
}

}  // namespace taskwatch

using namespace taskwatch;

EXPORT int taskwatch_sink_init(taskwatch_sink *sink, const char *path, int open_now) {
    if (!sink) return -EINVAL;
    *sink = {};
    sink->path = path;
    if (!open_now) return 0;
    Outlet outlet = outlet_of(*sink);
    release(outlet);
    return outlet.fd < 0 ? (int)outlet.fd : 0;
}

EXPORT int taskwatch_write(taskwatch_sink *sink, const void *record, size_t length) {
    if (!sink || (!record && length)) return -EINVAL;
    if (length == 0) return 0;
    long result = write_uncounted(*sink, record, length);
    if (result < 0) session.count_lost((int)-result);
    return (int)result;
}

EXPORT int taskwatch_sink_is_stream(const taskwatch_sink *sink) {
    uint32_t state =
        std::atomic_ref(const_cast<taskwatch_sink *>(sink)->state).load(std::memory_order_relaxed);
    if (state & kind_known) return (state & kind_stream) != 0;
    struct stat st;
    // A file that is not there yet will be a regular one; a stream out of sight is taken for a narrow one.
    if (process.quiet || !look_at(*sink, st)) return stream_number(*sink) != 0;
    return is_stream(st);
}

EXPORT int taskwatch_sink_is_terminal(const taskwatch_sink *sink) {
    struct stat st;
    if (process.quiet || !look_at(*sink, st) || !S_ISCHR(st.st_mode)) return 0;
    int stream = stream_number(*sink);
    Outlet outlet = stream ? session_stream(stream) : Outlet{open_file(sink->path, st), true};
    if (outlet.fd < 0) return 0;
    char settings[64];  // the kernel's struct termios, 36 bytes
    bool terminal = sys::call(SYS_ioctl, outlet.fd, TCGETS, settings) == 0;
    release(outlet);
    return terminal;
}
