// SPDX-License-Identifier: MIT
// Exported: prctl, for the moment at which a program installs a seccomp filter. From then on the shim makes
// only the system calls of the genuine functions (R16), also in later images of the process.
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cstdarg>

#include "export.hpp"
#include "session.hpp"
#include "real.hpp"
#include "system_call.hpp"

using namespace taskwatch;

namespace taskwatch {

// Before the call: afterwards nothing may be asked of the kernel any more.
void before_filter() {
    if (Thread &thread = self(); wanted(~unstarted) && !thread.in_callback) identify(thread);
    (void)process.inheritance.set("TASKWATCH_QUIET", "1");
}

// Programs ask for a filter that cannot be, to learn what the kernel has.
void after_filter(bool installed) {
    if (installed) {
        process.quiet = true;
        session.memory.be_quiet();
    } else if (!process.quiet) {
        (void)process.inheritance.set("TASKWATCH_QUIET", "0");
    }
}

}  // namespace taskwatch

EXPORT int prctl(int option, ...) noexcept {
    unsigned long a[4];
    va_list rest;
    va_start(rest, option);
    // All four, as libc does: what is not there is not read by the kernel.
    for (unsigned long &argument : a) argument = va_arg(rest, unsigned long);
    va_end(rest);
    if (option == PR_SET_SECCOMP) before_filter();
    int result = real::prctl(option, a[0], a[1], a[2], a[3]);
    if (option == PR_SET_SECCOMP) after_filter(result == 0);
    return result;
}
