// SPDX-License-Identifier: MIT
// What a session has not seen: programs that were executed and could not be watched, lines that could not be
// written. At its end one line on standard error says so, if the launcher has asked for it.
//
// All functions are async-signal-safe, and do nothing without a session's memory.
#pragma once

#include <cstdint>

#include "line.hpp"
#include "segment.hpp"

namespace taskwatch {

class Missed {
  public:
    explicit constexpr Missed(Segment &memory) : memory_(memory) {}

    // Whoever founds the session: the line is wanted.
    void want_line();
    // True until it is written.
    bool line_is_wanted() const;

    // Task `id` is about to execute `path`, which will not be watched. Returns what take_back() needs.
    uint32_t add_program(uint64_t id, const char *path);
    // It could not be executed.
    void take_back(uint32_t added);
    // An image of task `id` is watched after all: so is the one that was counted last for it.
    void take_back_of(uint64_t id) {
        // Each start comes by here: without touching a page of code more.
        if (auto *list = this->list(); list && list->forecasts.load(std::memory_order_relaxed) != 0) find_and_take_back(id);
    }

    // The line without its newline. False: nothing was missed, `ret_line` is as it was.
    bool describe(uint64_t lost_lines, Line &ret_line) const;
    // Writes it on the session's standard error, once in a session and only if something was missed. By the session's first
    // process at its end, which has that stream, or else by its supervisor.
    void write_line();

  private:
    void find_and_take_back(uint64_t id);
    layout::MissedList *list() const { return memory_.attached() ? &memory_.header()->missed : nullptr; }

    Segment &memory_;
};

[[gnu::visibility("hidden")]] extern constinit Missed missed;

}  // namespace taskwatch
