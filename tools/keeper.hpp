// SPDX-License-Identifier: MIT
// The session, as the supervisor keeps it: its memory is held here, and the ends that nobody else can tell are
// told. The supervisor is no task of the session, and loads the watchers when it has something to tell and not
// before.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "events.hpp"
#include "strays.hpp"
#include "task.hpp"

namespace taskwatch {

class Keeper {
  public:
    // True if `environ` names a session that is there: its own supervisor cares for it.
    static bool is_inside_a_session();
    // Founds one and names it in `environ`. From now on its memory goes when the last process that uses it has ended,
    // whoever is killed. Without memory for one: nothing, and all below does nothing.
    // `library`: where the shim is, beside whose folder of watchers they are looked for.
    void found(const char *library);
    // One line at the end says what was not seen. `unwatched`: a program that is none of the session's to tell of, or null.
    void want_closing_line(const char *unwatched);
    // In the child, before its exec: it is the session's first process.
    static void set_root(pid_t program);
    // It was made.
    void begin(pid_t program);

    // A child of ours is dead and not waited for yet.
    void tell_end_of_child(pid_t pid, int status, const struct rusage &usage);
    // What Events::watch() was given has happened.
    void tell_end_of_stray(unsigned key);
    // What has to be looked at from time to time. Returns in how many milliseconds again.
    int look_around(Events &events);
    // The program has ended and was told: what is left to tell, the closing line last.
    void finish();

  private:
    void hold_extensions();
    void watch_strays(Events &events);
    void tell_strays();
    void sweep(bool at_once);
    static void tell_dead(void *keeper, const Task &task);
    void load_watchers_once();

    const char *library_ = "";
    pid_t program_ = 0;
    uint32_t slots_held_ = 0;
    bool loaded_ = false;
    bool at_once_ = false;
    Strays strays_;
    uint64_t seen_dead_[1 << 15] = {};  // by slot: the id that was dead when we looked last
};

}  // namespace taskwatch
