// SPDX-License-Identifier: MIT
// Signals that were sent to the launcher and are meant for the program.
//
// The terminal, a shell's job control and kill(2) of a group reach both: passed on, they would come twice, and many
// programs take a second SIGINT for "at once". The kernel does not say whether a signal was sent to a process or to its
// group, so there is a witness: a process in our group that does nothing and blocks everything. What is
// pending for it as well was not sent to us alone.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace taskwatch {

class Relay {
  public:
    // After the program was started: signals reach the younger members of a group first, and the witness has to
    // have its own when we look. Without a witness (no process to be had) everything is passed on.
    void start(pid_t program);
    // One signal that arrived here, not of the kernel about a child.
    void pass_on(int signal, int code, pid_t sender, int value);
    void stop();

  private:
    pid_t call_witness();
    static void dismiss(pid_t witness);
    void relieve_witness();
    bool reached_the_program(int signal);

    pid_t own_pid_ = 0;
    pid_t program_ = 0;
    pid_t parent_ = 0;
    pid_t witness_ = 0;
    bool second_stack_ = false;
    uint64_t witnessed_ = 0;  // of a witness that was relieved, and that have not arrived here yet
};

}  // namespace taskwatch
