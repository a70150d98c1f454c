// SPDX-License-Identifier: MIT
// Exported: system, on our own spawn. Its signal rules are POSIX's: SIGINT and SIGQUIT are ignored while any
// thread is in it, SIGCHLD is blocked in the calling thread, and the command has what the program had.
#include <pthread.h>

#include <csignal>
#include <cstring>

#include "export.hpp"
#include "fork_lock.hpp"
#include "libc_version.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "shell_command.hpp"
#include "signal_action.hpp"
#include "watched_spawn.hpp"

using namespace taskwatch;

namespace {

constexpr const char *name = "system";

// The actions belong to the process: the first thread to come takes them away, the last to leave puts them back.
class Interrupts {
  public:
    // Returns the signals that the command is to have as the default: those that the program did not ignore.
    sys::SignalMask ignore() {
        constexpr SignalAction ignored = {SignalAction::handler_ignore, 0, 0, 0};
        ForkLockGuard guard(lock_);
        if (users_++ == 0)
            for (unsigned i = 0; i < 2; i++) theirs_[i] = ignored.install(signals[i]);
        sys::SignalMask defaults = 0;
        for (unsigned i = 0; i < 2; i++)
            if (theirs_[i].handler != SignalAction::handler_ignore) defaults |= sys::signal_bit(signals[i]);
        return defaults;
    }

    void put_back() {
        ForkLockGuard guard(lock_);
        if (--users_ > 0) return;
        for (unsigned i = 0; i < 2; i++) theirs_[i].install(signals[i]);
    }

  private:
    static constexpr int signals[2] = {SIGINT, SIGQUIT};
    ForkLock lock_;
    unsigned users_ = 0;
    SignalAction theirs_[2] = {};
};

constinit Interrupts interrupts;

struct Waiting {
    pid_t pid;
    sys::SignalMask mask;  // the program's
    int cancel_state;
    int status;
};

void set_back(const Waiting &waiting) {
    interrupts.put_back();
    sys::set_signal_mask(waiting.mask);
}

// The thread is cancelled: the command goes with it.
void cancel(void *context) {
    auto *waiting = static_cast<Waiting *>(context);
    sys::call(SYS_kill, waiting->pid, SIGKILL);
    long reaped;
    struct rusage usage;
    do {
        reaped = sys::call(SYS_wait4, waiting->pid, &waiting->status, __WALL, &usage);
    } while (reaped == -EINTR);
    if (reaped == waiting->pid) tell_end_of_shell(waiting->pid, waiting->status, name, &usage);
    set_back(*waiting);
}

// Here alone it can be cancelled. Not inlined: what a cancelled thread jumps back to is this frame.
[[gnu::noinline]] bool await(Waiting &waiting) {
    bool ended = false;
    pthread_cleanup_push(cancel, &waiting);
    pthread_setcancelstate(waiting.cancel_state, nullptr);
    ended = await_shell(waiting.pid, &waiting.status, name) == waiting.pid;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
    pthread_cleanup_pop(0);
    return ended;
}

// What a command that could not be started returns: as if it had ended with 127 (POSIX, of a shell that cannot be
// executed); this libc has its own mind about a child that could not be made at all. A veto is -1 (R6).
int failure(const SpawnResult &result) {
    if (result.vetoed) return -1;
    return result.pid != 0 || libc_is_before(41) ? 127 << 8 : -1;
}

int run(const char *line, Thread &thread, bool watched) {
    const ShellCommand command(line);
    Waiting waiting = {};
    int saved_errno = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &waiting.cancel_state);

    posix_spawnattr_t attributes = {};
    attributes.__flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sys::SignalMask defaults = interrupts.ignore(), child = sys::signal_bit(SIGCHLD);
    sys::call(SYS_rt_sigprocmask, SIG_BLOCK, &child, &waiting.mask, sizeof child);
    memcpy(&attributes.__sd, &defaults, sizeof defaults);
    memcpy(&attributes.__ss, &waiting.mask, sizeof waiting.mask);

    SpawnResult result = spawn_watched({.name = name,
                                        .file = ShellCommand::path,
                                        .attributes = &attributes,
                                        .argv = command.argv(),
                                        .envp = environ,
                                        .genuine = real::posix_spawn.get()},
                                       thread, watched);
    if (result.error) {
        waiting.status = failure(result);
        saved_errno = result.error;
    } else {
        waiting.pid = result.pid;
        if (!await(waiting)) {
            waiting.status = -1;
            saved_errno = errno;
        }
    }
    set_back(waiting);
    pthread_setcancelstate(waiting.cancel_state, nullptr);
    errno = saved_errno;
    return waiting.status;
}

}  // namespace

// Rebuilt also where nobody wants to be told, for the library's sake: the genuine one would pass an environment
// that the program has cleared.
EXPORT int system(const char *command) {
    Thread &thread = self();
    bool watched = wanted(mask_life) && !thread.in_callback;
    if (process.config.disabled) return real::system(command);
    if (!command) return run("exit 0", thread, watched) == 0;
    return run(command, thread, watched);
}
