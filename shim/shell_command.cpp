// SPDX-License-Identifier: MIT
#include "shell_command.hpp"

#include "libc_version.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "spawn.hpp"

namespace taskwatch {

ShellCommand::ShellCommand(const char *command) {
    char **next = argv_;
    for (const char *word : {"sh", "-c"}) *next++ = const_cast<char *>(word);
    if (!libc_is_before(38)) *next++ = const_cast<char *>("--");
    *next++ = const_cast<char *>(command);
    *next = nullptr;
}

void tell_end_of_shell(pid_t pid, int status, const char *call, const struct rusage *usage) {
    if (self().in_callback || !wanted(mask_life)) return;
    int saved_errno = errno;
    end_reaped_child(pid, status, call, usage);
    errno = saved_errno;
}

pid_t await_shell(pid_t pid, int *ret_status, const char *call) {
    pid_t reaped;
    struct rusage counted, *usage = wants_usage() ? &counted : nullptr;
    do {
        reaped = usage ? real::wait4(pid, ret_status, 0, usage) : real::waitpid(pid, ret_status, 0);
    } while (reaped == -1 && errno == EINTR);
    // Killed before its exec: the kernel shows it to nobody else.
    if (reaped == -1 && errno == ECHILD && spawn_died_unseen(pid)) {
        reaped = real::wait4(pid, ret_status, __WALL, usage);
        if (reaped == pid) spawn_forget_unseen(pid);
    }
    if (reaped == pid) tell_end_of_shell(pid, *ret_status, call, usage);
    return reaped;
}

}  // namespace taskwatch
