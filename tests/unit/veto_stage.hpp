// SPDX-License-Identifier: MIT
// A stage for the veto: a process of its own in which a held child C is ended while another child D dies
// around that moment, and a tally of everything that a program could notice or miss.
//
// What the program is like (handlers, threads, masks) is the business of each play in veto_test.cpp.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <vector>

namespace stage {

// Ends the held child C: as the shim does, or as a twin does that must be found out.
using End = void (*)(pid_t child, int exit_signal, uint64_t mask);
void end_by_veto(pid_t child, int exit_signal, uint64_t mask);
void end_naively(pid_t child, int exit_signal, uint64_t mask);

// Over all rounds. All below the line are faults.
struct Tally {
    int rounds = 0;
    int meanwhile = 0;  // D died (or stopped) while C was being ended: what makes the play worth watching
    // ----
    int announced = 0;      // notices of C
    int returned = 0;       // C returned by a wait function
    int lost = 0;           // D died and nobody was told, or it could not be fetched with its status
    int left_waitable = 0;  // C is still there, or a D that should have reaped itself
    int unwanted = 0;       // a stop announced although the program wants none
    int left_pending = 0;
    int mask_changed = 0;
    int action_changed = 0;
    int hidden_for_ever = 0;
    bool operator==(const Tally &) const = default;
};
std::ostream &operator<<(std::ostream &out, const Tally &tally);

// What a program learns from SIGCHLD or from C's own exit signal.
struct Notice {
    pid_t pid;
    int code;
};

class Stage {
  public:
    explicit Stage(End end_of_c) : end(end_of_c) {}

    // ---- the program
    End end;
    int exit_signal = SIGCHLD;                                // C's and D's
    bool expects_notice = true;                               // of D's death
    bool d_reaps_itself = false;                              // SIG_IGN, SA_NOCLDWAIT
    bool d_stops = false;                                     // before it dies
    bool wants_stops = true;                                  // no SA_NOCLDSTOP
    bool d_after_c = false;                                   // dies because C has died
    size_t weight_of_c = 0;                                   // bytes that C touches: it takes longer to die
    pid_t (*make_c)() = nullptr;                              // null: a fork
    std::function<pid_t(pid_t d, int &status)> fetch;         // empty: waitpid(d)
    std::function<bool(Notice &notice, int timeout)> listen;  // ms. empty: what was passed to heard()

    // Installs on_signal().
    void handle(int flags, int signal = SIGCHLD);
    static void on_signal(int signal, siginfo_t *info, void *context);
    // For threads and handlers that learned of a child. Async-signal-safe.
    static void heard(const siginfo_t &info);

    // ---- the play
    void rounds(int n);         // goes_on(), act(), follow(), and a curtain()
    bool goes_on(int n) const;  // not after a fault: what is lost costs seconds of waiting
    void act();                 // D is set going, C is made and ended. Also from a signal handler.
    void follow();              // what became of D and C
    void curtain();
    pid_t make_d();

    Tally tally;

  private:
    bool hear_of(pid_t pid, int code);
    void judge(const Notice &notice);

    pid_t c_ = 0, d_ = 0;
    int d_pidfd_ = -1;
    std::vector<pid_t> vetoed_;
    unsigned random_ = 12345;
};

// Runs `play` in a forked process and returns its tally. A play that crashes or hangs fails the test.
Tally perform(const std::function<void(Stage &)> &play, End end = end_by_veto);

// Threads with everything blocked but `open`. Never joined: the stage's process ends with them.
void start_thread(uint64_t open, std::function<void()> body);
void set_blocked(int signal, bool blocked);

// A child like a fork's, with any exit signal.
pid_t raw_fork(int exit_signal);

// A vfork-like child that lets its parent go and lives on, for one of these at a time.
pid_t dormant_child();

}  // namespace stage
