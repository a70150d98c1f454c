// SPDX-License-Identifier: MIT
// Exported: exit, _exit, _Exit, quick_exit, and __libc_start_main for main's return. The true end of a
// normal exit comes through the on_exit handler that wrap_register.cpp put first, so that it runs last.
#include <atomic>
#include <cstdlib>

#include "export.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "start_data.hpp"
#include "true_end.hpp"

using namespace taskwatch;

namespace {

constinit int quick_status = 0;
using MainFunction = int(int, char **, char **);
START_DATA constinit MainFunction *program_main = nullptr;

int raw_status(int status) { return (status & 0xff) << 8; }

// main's return is an exit(): through ours, in case a child on our memory has used up the handlers.
[[noreturn]] int main_and_exit(int argc, char **argv, char **envp) { exit(program_main(argc, argv, envp)); }

// Two threads in exit() share the handlers out between them, and the one that finds none left ends the
// process at once: in the middle of another's handler, ours among them, with a status that nobody was told. So
// the second waits, as in newer libcs. A handler that calls exit() again is the first. Bounded: a handler
// may wait for the very thread that is held here, and in this libc that program ends.
START_DATA constinit std::atomic<uint64_t> exiting{0};  // pid and tid of the thread that is in exit()
constexpr int exit_bound_ms = 3000;

void await_other_exit() {
    if (self().in_vfork_child() || process.quiet || !wanted(mask_life)) return;
    pid_t pid = sys::getpid();
    uint64_t mine = (uint64_t)pid << 32 | (uint32_t)sys::gettid(), holder = 0;
    int waited_ms = 0;
    while (!exiting.compare_exchange_strong(holder, mine)) {
        if (holder == mine) return;
        if ((pid_t)(holder >> 32) != pid) continue;  // inherited by a fork: that thread is not here
        if (waited_ms++ >= exit_bound_ms) return;
        timespec millisecond = {0, 1000000};
        sys::call(SYS_nanosleep, &millisecond, 0);
        holder = 0;
    }
}

}  // namespace

namespace taskwatch {

void end_here(const char *call, int status) {
    Thread &thread = self();
    if (thread.in_callback || !wanted(mask_life)) return;
    int saved_errno = errno;
    Task &task = identify(thread);
    // The end of a vfork child, or of a child on our memory, is its own and not the process's.
    end_task(thread, task, call, raw_status(status), !thread.in_vfork_child() && task.tgid == process.main.tgid);
    errno = saved_errno;
}

void at_quick_end(void *) { end_here("quick_exit", quick_status); }

}  // namespace taskwatch

EXPORT void exit(int status) noexcept {
    await_other_exit();
    if (process.exit_handler_used && !self().in_vfork_child()) at_true_end(status, nullptr);
    if (auto genuine = real::exit.get_once()) genuine(status);
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
    register_quick_handler();
    if (auto genuine = real::quick_exit.get()) genuine(status);
    for (;;) sys::call(SYS_exit_group, status);
}

EXPORT int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(), void (*fini)(),
                             void (*rtld_fini)(), void *stack_end) {
    ensure_started();
    program_main = main;
    auto genuine = real::__libc_start_main.get_once();
    return genuine ? genuine(main_and_exit, argc, argv, init, fini, rtld_fini, stack_end) : 127;
}
