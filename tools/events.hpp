// SPDX-License-Identifier: MIT
// What the supervisor waits for: signals, and the ends of processes that are no children of its own. All signals
// are blocked.
#pragma once

#include <sys/types.h>

namespace taskwatch {

struct Event {
    enum Kind { nothing, signal, end } kind = nothing;
    // signal: as in signalfd(2).
    int number = 0, code = 0, value = 0;
    pid_t sender = 0;
    // end: what watch() was given.
    unsigned key = 0;
};

class Events {
  public:
    // Descriptors of its own, close-on-exec. Where none are to be had (RLIMIT_NOFILE) signals are waited for all
    // the same.
    void open();
    // The next event; `nothing` after so many milliseconds.
    Event wait(int milliseconds);
    // One event when the process of this pidfd ends. False: cannot be watched.
    bool watch(int pidfd, unsigned key);

  private:
    Event next_signal();
    int poll_ = -1, signals_ = -1;
};

}  // namespace taskwatch
