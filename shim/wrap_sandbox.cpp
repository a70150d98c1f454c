// SPDX-License-Identifier: MIT
// Exported: prctl, for the moment at which a program installs a seccomp filter. From then on the shim makes
// only the system calls of the genuine functions (R16), also in later images of the process.
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cstdarg>

#include "export.hpp"
#include "ledger.hpp"
#include "lifecycle.hpp"
#include "real.hpp"

using namespace taskwatch;

EXPORT int prctl(int option, ...) noexcept {
    unsigned long a[4];
    va_list rest;
    va_start(rest, option);
    // All four, as libc does: what is not there is not read by the kernel.
    for (unsigned long &argument : a) argument = va_arg(rest, unsigned long);
    va_end(rest);
    if (option == PR_SET_SECCOMP) {
        // Before the call: afterwards nothing may be asked of the kernel any more.
        if (wanted(~unstarted)) identify(self());
        (void)process.inheritance.set("TASKWATCH_QUIET", "1");
    }
    int result = real::prctl(option, a[0], a[1], a[2], a[3]);
    if (option == PR_SET_SECCOMP && result == 0) {
        process.quiet = true;
        ledger.be_quiet();
    }
    return result;
}
