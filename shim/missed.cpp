// SPDX-License-Identifier: MIT
#include "missed.hpp"

#include <cstring>

#include "process.hpp"
#include "session.hpp"
#include "sink.hpp"

namespace taskwatch {

using namespace layout;

constinit Missed missed(session.memory);

namespace {

enum : uint32_t { not_wanted, line_wanted, line_written };   // of Missed::line
enum : uint32_t { no_name, being_written, name_written };    // of MissedName::state

// A name is for a line of text: no byte of it may be a command for a terminal.
char printable(char c) { return c >= ' ' && c <= '~' ? c : '?'; }

struct Name {
    char text[missed_name_bytes] = "";

    explicit Name(const char *path) {
        const char *slash = strrchr(path, '/');
        if (slash && slash[1]) path = slash + 1;
        size_t length = 0;
        for (; path[length] && length < sizeof text - 1; length++) text[length] = printable(path[length]);
        if (path[length]) memcpy(text + sizeof text - 4, "...", 3);
    }
    // As it is in memory that others can write.
    explicit Name(const MissedName &name) {
        memcpy(text, name.text, sizeof text - 1);
        for (char *c = text; *c; c++) *c = printable(*c);
    }
};

// Its place in the list; missed_names, which is everybody else's: the list is full, or another process is writing there.
uint32_t place_of(layout::MissedList &list, const Name &name) {
    for (uint32_t i = 0; i < missed_names; i++) {
        MissedName &entry = list.name[i];
        uint32_t state = no_name;
        if (entry.state.compare_exchange_strong(state, being_written, std::memory_order_acquire)) {
            memcpy(entry.text, name.text, sizeof entry.text);
            entry.state.store(name_written, std::memory_order_release);
            return i;
        }
        if (state == name_written && strcmp(Name(entry).text, name.text) == 0) return i;
    }
    return missed_names;
}

void count_down(std::atomic<uint32_t> &count) {
    if (count.load(std::memory_order_relaxed) != 0) count.fetch_sub(1, std::memory_order_relaxed);
}

// "sudo, busybox x3 and 4 more"
void put_names(const layout::MissedList &list, const uint32_t (&counts)[missed_names + 1], Line &line) {
    const char *separator = "";
    for (uint32_t i = 0; i < missed_names; i++) {
        if (counts[i] == 0) continue;
        line << separator << Name(list.name[i]).text;
        if (counts[i] > 1) line << " x" << counts[i];
        separator = ", ";
    }
    if (uint32_t others = counts[missed_names]) line << (*separator ? " and " : "") << others << " more";
}

}  // namespace

void Missed::want_line() {
    if (auto *list = this->list()) list->line.store(line_wanted, std::memory_order_relaxed);
}

bool Missed::line_is_wanted() const {
    auto *list = this->list();
    return list && list->line.load(std::memory_order_relaxed) == line_wanted;
}

uint32_t Missed::add_program(uint64_t id, const char *path) {
    auto *list = this->list();
    if (!list) return 0;
    const uint32_t place = place_of(*list, Name(path));
    list->count[place].fetch_add(1, std::memory_order_relaxed);
    const uint32_t newest = list->forecasts.fetch_add(1, std::memory_order_relaxed) % missed_forecasts;
    list->forecast[newest].place.store(place, std::memory_order_relaxed);
    list->forecast[newest].task.store(id, std::memory_order_release);
    return place;
}

void Missed::take_back(uint32_t added) {
    auto *list = this->list();
    if (list && added <= missed_names) count_down(list->count[added]);
}

void Missed::find_and_take_back(uint64_t id) {
    if (id == 0) return;
    for (MissedForecast &forecast : list()->forecast) {
        uint64_t task = id;
        const uint32_t place = forecast.place.load(std::memory_order_relaxed);
        if (!forecast.task.compare_exchange_strong(task, 0, std::memory_order_acquire)) continue;
        return take_back(place);
    }
}

bool Missed::describe(uint64_t lost_lines, Line &ret_line) const {
    uint32_t counts[missed_names + 1] = {};
    uint64_t programs = 0;
    auto *list = this->list();
    for (uint32_t i = 0; list && i <= missed_names; i++) {
        const bool there = i == missed_names || list->name[i].state.load(std::memory_order_acquire) == name_written;
        counts[i] = there ? list->count[i].load(std::memory_order_relaxed) : 0;
        programs += counts[i];
    }
    if (programs == 0 && lost_lines == 0) return false;
    ret_line << "taskwatch: ";
    if (programs) {
        ret_line << programs << (programs == 1 ? " program" : " programs") << " could not be watched (";
        put_names(*list, counts, ret_line);
        ret_line << ")";
    }
    if (programs && lost_lines) ret_line << "; ";
    if (lost_lines) ret_line << lost_lines << (lost_lines == 1 ? " line lost" : " lines lost");
    return true;
}

void Missed::write_line() {
    // Behind a seccomp filter nothing is written: it is left to the supervisor.
    if (!line_is_wanted() || process.quiet) return;
    Line line;
    if (!describe(session.lost(nullptr), line)) return;
    uint32_t wanted = line_wanted;
    if (!list()->line.compare_exchange_strong(wanted, line_written)) return;
    taskwatch_sink standard_error = {};
    std::string_view text = line.with_newline();
    // What cannot be written here the supervisor may be able to write.
    if (write_uncounted(standard_error, text.data(), text.size()) != 0) list()->line.store(line_wanted);
}

}  // namespace taskwatch
