// SPDX-License-Identifier: MIT
// A command that system or popen gives to the shell: its arguments as this libc has them, and the wait for
// its end, which is told before the caller learns of it.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

namespace taskwatch {

// Arguments of "/bin/sh". From glibc 2.38 on, "--" keeps a command that begins with '-' from being an option.
class ShellCommand {
  public:
    static constexpr const char *path = "/bin/sh";
    explicit ShellCommand(const char *command);
    char *const *argv() const { return argv_; }

  private:
    char *argv_[5];
};

// waitpid(pid) through EINTR for a child of our own spawn. Its EXIT and FREE are told on its behalf if it could
// not do that itself; `call` is who says so. Returns pid, or -1 and errno (ECHILD: somebody else has reaped it, or
// the program ignores SIGCHLD). A cancellation point, if cancellation is enabled; then nothing was reaped.
pid_t await_shell(pid_t pid, int *ret_status, const char *call);

// The part of await_shell() that follows the wait itself.
void tell_end_of_shell(pid_t pid, int status, const char *call, const struct rusage *usage);

}  // namespace taskwatch
