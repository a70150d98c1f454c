// SPDX-License-Identifier: MIT
// Exported: daemon and forkpty, on our own fork: libc's call theirs internally.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <csignal>

#include "export.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "true_end.hpp"

using namespace taskwatch;

namespace {

// In libutil before glibc 2.34: looked for when it is needed.
constexpr real::Genuine<int(int *, int *, char *, const struct termios *, const struct winsize *), "openpty", "">
    genuine_openpty;
constexpr real::Genuine<int(int), "login_tty", ""> genuine_login_tty;

// What glibc's fork passes to clone(2).
constexpr uint64_t fork_flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;

pid_t fork_for(const char *name) {
    return create_process({name, fork_flags}, fork_genuinely, nullptr);
}

// Past any _exit() of the program's own, as libc's own call is.
[[noreturn]] void leave(const char *name, int status) {
    park_if_ending();
    end_here(name, status);
    if (auto genuine = real::_exit.get()) genuine(status);
    for (;;) sys::call(SYS_exit_group, status);
}

int fail(int error) {
    errno = error;
    return -1;
}

// Descriptors 0 to 2. Refused if somebody has put something else in /dev/null's place.
int go_silent() {
    int fd = int(sys::call(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0));
    // libc closes what it could not open.
    if (fd < 0) return fail(EBADF);
    struct stat file;
    int error = int(-sys::call(sys::nr_fstat, fd, &file));
    if (!error && (!S_ISCHR(file.st_mode) || file.st_rdev != makedev(1, 3))) error = ENODEV;
    for (int standard = 0; !error && standard <= 2; standard++) dup2(fd, standard);
    if (error || fd > 2) sys::call(SYS_close, fd);
    return error ? fail(error) : 0;
}

}  // namespace

EXPORT int daemon(int nochdir, int noclose) noexcept {
    if (!wanted(mask_life) && process.config.disabled) return real::daemon(nochdir, noclose);
    pid_t child = fork_for("daemon");
    if (child < 0) return -1;
    if (child > 0) leave("daemon", 0);
    if (setsid() == -1) return -1;
    if (!nochdir) (void)!chdir("/");
    return noclose ? 0 : go_silent();
}

// Both of libc's versions are the same function, so one without a version serves both.
EXPORT pid_t forkpty(int *ret_terminal, char *name, const struct termios *termios, const struct winsize *size) noexcept {
    if (!wanted(mask_life) && process.config.disabled) return real::forkpty(ret_terminal, name, termios, size);
    int ours, theirs;
    if (genuine_openpty(&ours, &theirs, name, termios, size) == -1) return -1;
    pid_t child = fork_for("forkpty");
    if (child == 0) {
        sys::call(SYS_close, ours);
        if (genuine_login_tty(theirs) != 0) leave("_exit", 1);
        return 0;
    }
    sys::call(SYS_close, theirs);
    if (child > 0)
        *ret_terminal = ours;
    else
        sys::call(SYS_close, ours);
    return child;
}
