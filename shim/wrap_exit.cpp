// SPDX-License-Identifier: MIT
// Exported: exit, _exit, _Exit, quick_exit, and __libc_start_main for main's return. The true end of a
// normal exit comes through the on_exit handler that wrap_register.cpp put first, so that it runs last.
#include <cstdlib>

#include "export.hpp"
#include "lifecycle.hpp"
#include "real.hpp"
#include "true_end.hpp"

using namespace taskwatch;

namespace {

constinit int quick_status = 0;
using MainFunction = int(int, char **, char **);
constinit MainFunction *program_main = nullptr;

int raw_status(int status) { return (status & 0xff) << 8; }

// main's return is an exit(): through ours, in case a child on our memory has used up the handlers.
[[noreturn]] int main_and_exit(int argc, char **argv, char **envp) { exit(program_main(argc, argv, envp)); }

}  // namespace

namespace taskwatch {

void end_here(const char *call, int status) {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return;
    int saved_errno = errno;
    Task &task = identify(thread);
    // The end of a vfork child, or of a child on our memory, is its own and not the process's.
    end_task(thread, task, call, raw_status(status), &task == &process.main);
    errno = saved_errno;
}

void at_quick_end(void *) { end_here("quick_exit", quick_status); }

}  // namespace taskwatch

EXPORT void exit(int status) noexcept {
    if (process.exit_handler_used && !self().in_vfork_child()) at_true_end(status, nullptr);
    if (auto genuine = real::exit.get()) genuine(status);
    for (;;) sys::call(SYS_exit_group, status);
}

EXPORT void _exit(int status) {
    park_if_ending();
    end_here("_exit", status);
    // The system call itself: the genuine function does no more, and a thread that was parked must not
    // come back through another preload's.
    if (auto genuine = real::_exit.get()) genuine(status);
    for (;;) sys::call(SYS_exit_group, status);
}
extern "C" EXPORT_ALIAS(_exit) void _Exit(int) noexcept;

EXPORT void quick_exit(int status) noexcept {
    quick_status = status;
    if (auto genuine = real::quick_exit.get()) genuine(status);
    for (;;) sys::call(SYS_exit_group, status);
}

EXPORT int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(), void (*fini)(),
                             void (*rtld_fini)(), void *stack_end) {
    ensure_started();
    program_main = main;
    return real::__libc_start_main(main_and_exit, argc, argv, init, fini, rtld_fini, stack_end);
}
