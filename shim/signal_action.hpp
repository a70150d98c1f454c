// SPDX-License-Identifier: MIT
// A signal's action as the kernel keeps it. Read raw and put back raw: libc's sigaction() would touch errno,
// and would set its own restorer in place of whatever the program's was.
#pragma once

#include <cstdint>

#include "sys.hpp"

namespace taskwatch {

// As rt_sigaction(2) has it on x86, arm and aarch64.
struct SignalAction {
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    sys::SignalMask mask;
    bool operator==(const SignalAction &) const = default;

    static constexpr uintptr_t handler_default = 0, handler_ignore = 1;

    static SignalAction of(int signal) {
        SignalAction action = {};
        sys::call(SYS_rt_sigaction, signal, nullptr, &action, sizeof(sys::SignalMask));
        return action;
    }

    // Sets it and returns what was there, in one step.
    SignalAction install(int signal) const {
        SignalAction old = {};
        sys::call(SYS_rt_sigaction, signal, this, &old, sizeof(sys::SignalMask));
        return old;
    }
};

// Puts `theirs` where `ours` is. What another thread has set meanwhile is not what we expect to displace, and
// goes back in its place: the last writer wins, as it would without us.
inline void put_back(int signal, SignalAction ours, SignalAction theirs) {
    for (int tries = 0; tries < 8; tries++) {
        SignalAction seen = theirs.install(signal);
        if (seen == ours) return;
        ours = theirs;
        theirs = seen;
    }
}

}  // namespace taskwatch
