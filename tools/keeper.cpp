// SPDX-License-Identifier: MIT
#include "keeper.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "clock.hpp"
#include "ledger.hpp"
#include "lifecycle.hpp"
#include "loader.hpp"
#include "missed.hpp"
#include "session.hpp"
#include "streams.hpp"
#include "true_end.hpp"

namespace taskwatch {

// The library's start has no part in this process: what is watched is told through us, and we are not.
void ensure_started() {}
void register_fork_handlers() {}

namespace {

// It was told by the program, or will be.
void say_nothing(const char *) {}

// The deliverer of what is told here; no task of the session's.
Task own_task;

}  // namespace

bool Keeper::is_inside_a_session() {
    const char *name = getenv("TASKWATCH_SESSION");
    Session other;
    return name && *name && other.attach(name) == 0;
}

void Keeper::found(const char *library) {
    library_ = library;
    unsetenv("TASKWATCH_SESSION");
    if (session.found(0) != 0) return;
    char name[64];
    session.write_name(name);
    setenv("TASKWATCH_SESSION", name, 1);
    session.close();
    Thread &thread = self();
    own_task.pid = own_task.tgid = thread.tid = getpid();
    thread.current = &own_task;
}

void Keeper::want_closing_line(const char *unwatched) {
    missed.want_line();
    if (unwatched) missed.add_program(0, unwatched);
}

void Keeper::set_root(pid_t program) { session.set_root(program); }

void Keeper::begin(pid_t program) {
    program_ = program;
    session.set_root(program);
    strays_.open();
}

// Further segments are made by whoever needs them. Attached here they outlast their makers, and are removed as the
// first one is.
void Keeper::hold_extensions() {
    const uint32_t slots = session.memory.header()->slots.load(std::memory_order_acquire);
    if (slots == slots_held_) return;
    slots_held_ = slots;
    for (uint32_t chunk = 0; chunk < layout::max_extensions; chunk++) (void)session.memory.extension(chunk);
    session.close();
}

void Keeper::load_watchers_once() {
    if (loaded_) return;
    loaded_ = true;
    process.config = read_config(environ, false);
    const char *slash = strrchr(library_, '/');
    static char own_folder[512];
    snprintf(own_folder, sizeof own_folder, "%.*s/taskwatch", slash ? (int)(slash - library_) : 0, library_);
    if (!process.config.watchers) return;
    (void)load_watchers(process.config,
                        {.chain = &chain,
                         .envp = environ,
                         .own_folder = own_folder,
                         .loaded_before = session.list_is_good(process.config.watchers, process.config.path),
                         .refuse = say_nothing});
    process.wanted.store(wanted_now(), std::memory_order_release);
}

void Keeper::tell_end_of_child(pid_t pid, int status, const struct rusage &usage) {
    Task task;
    if (!ledger.find_owing(pid, task)) return;
    load_watchers_once();
    end_reaped_child(pid, status, "supervisor", &usage);
}

void Keeper::tell_end_of_stray(unsigned key) {
    Strays::End end;
    if (!strays_.ended(key, false, end)) return;
    load_watchers_once();
    end_on_behalf(end.task, {.call = "supervisor", .status = end.status, .status_known = end.known, .dead = end.task.pid});
}

// Those whose parents have left them as corpses since we looked last: nobody tells us more.
void Keeper::tell_strays() {
    Strays::End end;
    for (int key = strays_.next_corpse(0); key >= 0; key = strays_.next_corpse((unsigned)key + 1)) {
        if (!strays_.ended((unsigned)key, true, end)) continue;
        load_watchers_once();
        end_on_behalf(end.task, {.call = "supervisor", .status = end.status, .status_known = end.known, .dead = end.task.pid});
    }
}

void Keeper::watch_strays(Events &events) {
    struct Look {
        Keeper &keeper;
        Events &events;
    } look{*this, events};
    ledger.for_each([](void *context, const Task &task) {
        auto [keeper, events] = *static_cast<Look *>(context);
        Task parent;
        if (task.pid != task.tgid || task.pid == keeper.program_ || keeper.strays_.full()) return;
        if (!ledger.find(task.ppid, parent)) keeper.strays_.watch(task, events);
    }, &look);
}

void Keeper::tell_dead(void *context, const Task &task) {
    auto &keeper = *static_cast<Keeper *>(context);
    uint64_t &seen = keeper.seen_dead_[(task.slot - 1) % layout::capacity];
    Task parent;
    bool parent_may_tell = !keeper.at_once_ || ledger.find(task.ppid, parent);
    if (parent_may_tell && seen != task.id) {
        seen = task.id;
        return;
    }
    keeper.load_watchers_once();
    end_on_behalf(task, {.call = "sweep", .status_known = false});
}

// A task that is gone has perhaps just been reaped by a parent that is about to tell its end, with the
// status: it is told here when it is still owed at the next look.
void Keeper::sweep(bool at_once) {
    at_once_ = at_once;
    ledger.for_each_dead(tell_dead, this);
}

int Keeper::look_around(Events &events) {
    constexpr int idle = 1000, busy = 250;
    if (!session.attached() || ledger.living() <= 1) return idle;
    uint64_t begin = boottime_ns();
    hold_extensions();
    tell_strays();
    watch_strays(events);
    sweep(false);
    // Not more than a fiftieth of a processor.
    auto milliseconds = (int)((boottime_ns() - begin) / 1000000 * 50);
    return milliseconds > busy ? milliseconds : busy;
}

void Keeper::finish() {
    if (!session.attached()) return;
    sweep(true);
    hold_extensions();
    if (loaded_) finish_watchers(ledger.living() == 0 ? TASKWATCH_FINI_SESSION : TASKWATCH_FINI_PROCESS);
    if (!is_pipe_without_writer(2)) missed.write_line();
}

}  // namespace taskwatch
