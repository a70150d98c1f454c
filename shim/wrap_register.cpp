// SPDX-License-Identifier: MIT
// Exported: the functions through which programs and libraries register handlers for fork and exit. The
// first call from anywhere puts ours of the same kind first. A constructor would be too late: the executable's
// preinit functions and other libraries' constructors come before ours. Where nobody registers any, ours for fork and
// quick_exit are registered when these are called: most programs call neither, and need not pay at their start.
#include <stdio_ext.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "export.hpp"
#include "lifecycle.hpp"
#include "own_storage.hpp"
#include "real.hpp"
#include "start_data.hpp"
#include "true_end.hpp"

using namespace taskwatch;

extern "C" int fcloseall();

namespace {

START_DATA constinit std::atomic<bool> exit_registered{false};
constinit std::atomic<bool> fork_registered{false}, quick_registered{false};

bool first_time(std::atomic<bool> &done) {
    return !done.load(std::memory_order_relaxed) && !done.exchange(true, std::memory_order_relaxed);
}

void in_forked_child() {
    Thread &thread = self();
    // A callback's own fork is not the one that is under way around it, and must not wait at its gate.
    if (thread.creating && !thread.in_callback) {
        arrive_in_child(thread, *thread.creating);
    } else if (!(process.wanted.load(std::memory_order_relaxed) & unstarted)) {
        // A fork of libc's own (daemon, forkpty) or one that nobody wanted to know of.
        process.forget_other_threads();
        chain.after_fork_in_child(thread.pins);
        forget_inherited_gates();
    }
}

// Before the program's parent handlers: one of them may wait for what its child handler does, and that
// one runs only when the child has been released. errno tells a failed fork (the wrapper set it to 0).
void in_forking_parent() {
    Thread &thread = self();
    Creation *creation = thread.creating;
    if (!creation || thread.in_callback || !creation->leave_pid || !creation->gate || errno != 0) return;
    if (pid_t pid = await_child_pid(creation->gate)) decide_creation(thread, *creation, pid);
}

}  // namespace

namespace taskwatch {

void register_exit_handler() {
    if (!first_time(exit_registered)) return;
    if (auto genuine = real::on_exit.get_once()) genuine(at_true_end, nullptr);
}

void register_quick_handler() {
    if (first_time(quick_registered)) real::__cxa_at_quick_exit(at_quick_end, nullptr);
}

void register_fork_handlers() {
    if (first_time(fork_registered)) real::__register_atfork(nullptr, in_forking_parent, in_forked_child, nullptr);
}

pid_t fork_genuinely(void *) {
    register_fork_handlers();
    return real::fork();
}

void at_true_end(int status, void *) {
    Thread &thread = self();
    if (thread.in_vfork_child()) process.exit_handler_used = true;
    if (thread.in_callback || !wanted(mask_life)) return;
    fcloseall();
    end_here("exit", status);
}

}  // namespace taskwatch

EXPORT int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void *dso) noexcept {
    register_fork_handlers();
    if (parent) process.program_parent_handlers.store(true, std::memory_order_relaxed);
    return real::__register_atfork(prepare, parent, child, dso);
}

EXPORT int __cxa_atexit(void (*function)(void *), void *argument, void *dso) noexcept {
    register_exit_handler();
    return real::__cxa_atexit(function, argument, dso);
}

EXPORT int on_exit(void (*function)(int, void *), void *argument) noexcept {
    register_exit_handler();
    return real::on_exit(function, argument);
}

EXPORT int __cxa_at_quick_exit(void (*function)(void *), void *dso) noexcept {
    register_quick_handler();
    return real::__cxa_at_quick_exit(function, dso);
}
