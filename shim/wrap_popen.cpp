// SPDX-License-Identifier: MIT
// Exported: popen and _IO_popen, on our own spawn and fopencookie. libc's own pclose and fclose then come to our
// close function by themselves, so neither has to be wrapped and no table of streams is looked up.
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "export.hpp"
#include "fork_lock.hpp"
#include "libc_version.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "shell_command.hpp"
#include "watched_spawn.hpp"

using namespace taskwatch;

namespace {

constexpr const char *name = "popen";

// Cancellation points, as they are in libc's own streams; found past a program that has a read() of its own.
constexpr real::Genuine<ssize_t(int, void *, size_t), "read", ""> genuine_read;
constexpr real::Genuine<ssize_t(int, const void *, size_t), "write", ""> genuine_write;

struct Stream {
    Stream *next;
    pid_t pid;  // 0: the command was never started
    int fd;
    // What libc would have allocated for a pipe; for a stream like ours it would take twice as much.
    char buffer[4096];
};

// The open ones, which a later command must not inherit: it would keep their readers from seeing the end. The
// lock is held while a command is started, as libc holds its own: else a stream that becomes inheritable
// in that moment would slip in.
constinit ForkLock lock;
constinit Stream *streams = nullptr;

bool unlink_stream(const Stream *stream) {
    ForkLockGuard guard(lock);
    for (Stream **place = &streams; *place; place = &(*place)->next) {
        if (*place != stream) continue;
        *place = stream->next;
        return true;
    }
    return false;
}

ssize_t read_stream(void *cookie, char *buffer, size_t size) {
    return genuine_read(static_cast<Stream *>(cookie)->fd, buffer, size);
}

// All of it, or as much as could be written: libc takes less for an error, and asks errno for it.
ssize_t write_stream(void *cookie, const char *data, size_t size) {
    size_t written = 0;
    while (written < size) {
        ssize_t n = genuine_write(static_cast<Stream *>(cookie)->fd, data + written, size - written);
        if (n < 0) break;
        written += size_t(n);
    }
    return ssize_t(written);
}

int seek_stream(void *cookie, off64_t *offset, int whence) {
    long result = sys::call(SYS_lseek, static_cast<Stream *>(cookie)->fd, *offset, whence);
    if (result < 0) {
        errno = int(-result);
        return -1;
    }
    *offset = result;
    return 0;
}

// The wait status, which is what pclose and fclose return then; -1 and errno.
int close_and_await(const Stream &stream) {
    long closed = sys::call(SYS_close, stream.fd);
    if (closed < 0) {
        errno = int(-closed);
        return -1;
    }
    int status = 0, cancel_state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pid_t reaped = await_shell(stream.pid, &status, "pclose");
    pthread_setcancelstate(cancel_state, nullptr);
    return reaped == stream.pid ? status : -1;
}

int close_stream(void *cookie) {
    auto *stream = static_cast<Stream *>(cookie);
    int result = 0;
    if (stream->pid != 0) result = unlink_stream(stream) ? close_and_await(*stream) : -1;
    int saved_errno = errno;
    free(stream);
    errno = saved_errno;
    return result;
}

struct Mode {
    bool reads = false, writes = false, keeps_cloexec = false;
    bool is_valid() const { return reads != writes; }
};

Mode mode_of(const char *text) {
    Mode mode;
    for (; *text; text++) {
        switch (*text) {
            case 'r': mode.reads = true; break;
            case 'w': mode.writes = true; break;
            case 'e': mode.keeps_cloexec = true; break;
            default: return {};
        }
    }
    return mode;
}

// A stream on our end of the pipe, not in the list yet. Null and errno.
FILE *open_stream(const Mode &mode, int fd, Stream **ret_stream) {
    auto *stream = static_cast<Stream *>(malloc(sizeof(Stream)));
    if (!stream) return nullptr;
    stream->pid = 0;
    stream->fd = fd;
    FILE *file = fopencookie(stream, mode.reads ? "r" : "w",
                             {.read = read_stream, .write = write_stream, .seek = seek_stream, .close = close_stream});
    if (!file) {
        free(stream);
        return nullptr;
    }
    file->_fileno = fd;  // for fileno(), and all that asks it
    setvbuf(file, stream->buffer, _IOFBF, sizeof stream->buffer);
    *ret_stream = stream;
    return file;
}

// What the command does before it runs, in libc's order: an earlier stream of that number has been replaced already.
int add_actions(posix_spawn_file_actions_t &actions, int child_end, int standard) {
    int error = posix_spawn_file_actions_adddup2(&actions, child_end, standard);
    for (Stream *stream = streams; stream && !error; stream = stream->next)
        if (stream->fd != standard) error = posix_spawn_file_actions_addclose(&actions, stream->fd);
    return error;
}

// Starts the command and enters the stream. 0 or the errno to fail with.
int start(const char *line, Stream *stream, int child_end, int standard, Thread &thread, bool watched) {
    const ShellCommand command(line);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);

    ForkLockGuard guard(lock);
    SpawnResult result = {};
    result.error = add_actions(actions, child_end, standard);
    if (!result.error)
        result = spawn_watched({.name = name,
                                .file = ShellCommand::path,
                                .actions = &actions,
                                .argv = command.argv(),
                                .envp = environ,
                                .genuine = real::posix_spawn.get()},
                               thread, watched);
    posix_spawn_file_actions_destroy(&actions);
    if (result.vetoed) return result.error;
    if (result.error) return libc_is_before(38) ? ENOMEM : result.error;
    stream->pid = result.pid;
    stream->next = streams;
    streams = stream;
    return 0;
}

FILE *open_pipe(const char *command, const Mode &mode, Thread &thread, bool watched) {
    int pipe[2];
    if (long error = sys::call(SYS_pipe2, pipe, O_CLOEXEC)) {
        errno = int(-error);
        return nullptr;
    }
    const int own_end = pipe[mode.reads ? 0 : 1], child_end = pipe[mode.reads ? 1 : 0];
    int saved_errno = errno, error = 0;
    Stream *stream;
    FILE *file = open_stream(mode, own_end, &stream);
    if (!file)
        error = errno;
    else
        error = start(command, stream, child_end, mode.reads ? STDOUT_FILENO : STDIN_FILENO, thread, watched);
    sys::call(SYS_close, child_end);
    if (error) {
        if (file) fclose(file);
        sys::call(SYS_close, own_end);
        errno = error;
        return nullptr;
    }
    if (!mode.keeps_cloexec) sys::call(SYS_fcntl, own_end, F_SETFD, 0);
    errno = saved_errno;
    return file;
}

}  // namespace

// Rebuilt also where nobody wants to be told, as system() is.
EXPORT FILE *popen(const char *command, const char *modes) {
    Thread &thread = self();
    bool watched = wanted(mask_life) && !thread.in_callback;
    if (process.config.disabled) return real::popen(command, modes);
    Mode mode = mode_of(modes);
    if (!mode.is_valid()) {
        errno = EINVAL;
        return nullptr;
    }
    int cancel_state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    FILE *file = open_pipe(command, mode, thread, watched);
    pthread_setcancelstate(cancel_state, nullptr);
    return file;
}
// libc declares popen so.
extern "C" EXPORT_ALIAS(popen) [[gnu::malloc]] FILE *_IO_popen(const char *, const char *);
