// SPDX-License-Identifier: MIT
#include "relay.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace taskwatch {
namespace {

alignas(16) char witness_stacks[2][4096];

// On our memory, which it does not write to: everything is blocked, nothing wakes it but its end.
int be_witness(void *supervisor) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != *static_cast<pid_t *>(supervisor)) _exit(0);
    for (;;) syscall(SYS_pause);
}

// Signals pending for process `pid`, one bit each as in proc(5); 0 if that cannot be known.
uint64_t pending_for(pid_t pid) {
    char path[32], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "\nShdPnd:");
    return line ? strtoull(line + 8, nullptr, 16) : 0;
}

// What is pending for the witness is no proof here: the next stop signal takes a pending SIGCONT back. But a program that
// was continued, and one that has stopped anew, tell its parent.
bool was_continued(pid_t program) {
    siginfo_t info = {};
    if (waitid(P_PID, (id_t)program, &info, WCONTINUED | WNOHANG) == 0 && info.si_pid == program) return true;
    info = {};
    return waitid(P_PID, (id_t)program, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == program;
}

constexpr uint64_t bit(int signal) { return uint64_t{1} << (signal - 1); }

}  // namespace

// Without an exit signal: it ends unannounced.
pid_t Relay::call_witness() {
    char *stack = witness_stacks[second_stack_];
    second_stack_ = !second_stack_;
    return clone(be_witness, stack + sizeof witness_stacks[0], CLONE_VM | CLONE_FS | CLONE_FILES, &own_pid_);
}

void Relay::dismiss(pid_t witness) {
    if (witness <= 0) return;
    kill(witness, SIGKILL);
    waitpid(witness, nullptr, __WALL);
}

void Relay::start(pid_t program) {
    program_ = program;
    parent_ = getppid();
    own_pid_ = getpid();
    witness_ = call_witness();
}

void Relay::stop() {
    dismiss(witness_);
    witness_ = 0;
}

// With a signal pending the witness could not tell the next one: another takes its place. Both are there for a moment,
// so that no signal meets neither; what only the old one has seen is kept.
void Relay::relieve_witness() {
    pid_t old = witness_;
    witness_ = call_witness();
    uint64_t seen = pending_for(old);
    witnessed_ |= seen & ~pending_for(witness_);
    dismiss(old);
}

// True if this signal was sent to our whole group, and the program had it with us. One that has a group of its own, as
// an interactive shell has, did not.
bool Relay::reached_the_program(int signal) {
    if (witness_ <= 0) return false;
    if (!(witnessed_ & bit(signal)) && (pending_for(witness_) & bit(signal))) relieve_witness();
    bool witnessed = witnessed_ & bit(signal);
    witnessed_ &= ~bit(signal);
    return witnessed && getpgid(program_) == getpgrp();
}

void Relay::pass_on(int signal, int code, pid_t sender, int value) {
    // A terminal's go to its foreground group. A hangup goes to the session's leader as well, which may be us alone.
    if (code == SI_KERNEL && signal != SIGHUP && signal != SIGCONT) return;
    if (signal == SIGCONT && was_continued(program_)) return;
    if (reached_the_program(signal)) return;
    // A service manager signals one process after the other, and the younger ones later.
    timespec moment = {0, 2000000};
    nanosleep(&moment, nullptr);
    if (reached_the_program(signal)) return;
    // What the program sends to its parent was, without us, for the launcher's.
    pid_t receiver = sender == program_ ? parent_ : program_;
    if (receiver <= 1 || (receiver == parent_ && getppid() != parent_)) return;
    if (code == SI_QUEUE)
        sigqueue(receiver, signal, {.sival_int = value});
    else
        kill(receiver, signal);
}

}  // namespace taskwatch
