// SPDX-License-Identifier: MIT
// taskwatch-check FILE.so [:OPTIONS] VARIABLE LIBRARY: the work of taskwatch --check. Reads the watcher's file, runs it in
// scratch processes, one a place, and says what its author has to know. Status 0: no problem; 1: at least one;
// 125: it could not be checked.
#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <taskwatch/taskwatch.h>
#include <vector>

#include "drive.h"
#include "object.hpp"
#include "scratch.hpp"

using namespace taskwatch;

namespace {

constexpr const char *kind_names[CHECK_KINDS] = {
    "INIT",       "CLONE",      "EXEC before", "UID before",    "GID before", "EXEC", "UID", "GID", "EXEC failed",
    "UID failed", "GID failed", "EXEC forecast", "EXIT",        "FREE",
};

constexpr const char *place_names[CHECK_PLACES] = {
    "the main thread", "a thread", "a vfork child", "a signal handler", "a thread with the smallest stack",
};

enum Category { memory, stdio, lock, other, categories };
struct Call {
    const char *name;
    Category category;
};
constexpr Call unsafe_calls[CHECK_CALLS] = {
#define CALL(name, category) {#name, category},
#include "unsafe_calls.def"
#undef CALL
};
constexpr const char *category_texts[categories][2] = {
    {"allocates memory in a callback", "take it in init, or keep what belongs to a task in its cell"},
    {"uses stdio in a callback", "put the line together in memory and write it with taskwatch_write()"},
    {"takes a lock in a callback", "use atomic operations, in taskwatch_shared() for all processes"},
    {"calls what may lock or allocate in a callback", "do it in init, or use what signal-safety(7) lists"},
};

std::string join(const std::vector<std::string> &words, const char *separator = ", ") {
    std::string text;
    for (const std::string &word : words) text += (text.empty() ? "" : separator) + word;
    return text;
}

class Report {
  public:
    void fact(const char *what, const std::string &text) { std::printf("  %-11s %s\n", what, text.c_str()); }
    void problem(const std::string &text) {
        problems_++;
        std::printf("  problem     %s\n", text.c_str());
    }
    void note(const std::string &text) { std::printf("  note        %s\n", text.c_str()); }
    int verdict() const {
        if (problems_ == 0)
            std::puts("no problem was found");
        else
            std::printf("%d %s found\n", problems_, problems_ == 1 ? "problem was" : "problems were");
        return problems_ ? 1 : 0;
    }

  private:
    int problems_ = 0;
};

std::string event_names(unsigned int events) {
    const std::pair<unsigned int, const char *> bits[] = {
        {WATCH_MASK_INIT, "INIT"}, {WATCH_MASK_CLONE, "CLONE"},   {WATCH_MASK_EXEC, "EXEC"},
        {WATCH_MASK_UID, "UID"},   {WATCH_MASK_GID, "GID"},       {WATCH_MASK_EXIT, "EXIT"},
        {WATCH_MASK_FREE, "FREE"}, {WATCH_MASK_BEFORE, "BEFORE"}, {WATCH_MASK_FAILED, "FAILED"},
    };
    std::vector<std::string> names;
    for (auto [bit, name] : bits)
        if (events & bit) names.emplace_back(name);
    return join(names);
}

// --- before it is loaded

void report_object(const WatcherObject &object, Report &report) {
    std::vector<std::string> extra;
    for (const std::string &library : object.needed)
        if (library != "libc.so.6" && library != "ld-linux-x86-64.so.2") extra.push_back(library);
    report.fact("needs", extra.empty() ? "libc.so.6 alone" : join(object.needed));
    if (!extra.empty()) {
        ExecCost cost = measure_exec(join(extra, ":"));
        char text[256];
        std::snprintf(text, sizeof text, "%s: %.0f us more at each exec of each program (/bin/true: %.0f us without, %.0f us with)",
                      join(extra).c_str(), std::max(0.0, cost.with - cost.bare), cost.bare, cost.with);
        report.note(text);
    }
    if (!object.bound_at_once)
        report.note("bound lazily: the first call of a function runs the dynamic linker inside a callback; link with -Wl,-z,now");
    if (object.text_relocations) report.problem("has relocations in its code; compile with -fPIC");
    if (object.executable_stack)
        report.problem("makes the stack of every program executable; assembly needs a .note.GNU-stack section");
}

// --- while it runs

// What one kind of wrong was seen at.
struct Places {
    std::set<unsigned> kinds, places;
    void add(unsigned kind, unsigned place) { kinds.insert(kind), places.insert(place); }
    std::string text() const {
        std::vector<std::string> names, where;
        for (unsigned kind : kinds) names.emplace_back(kind_names[kind]);
        for (unsigned place : places) where.emplace_back(place_names[place]);
        if (where.size() == CHECK_PLACES) where = {"every context"};
        return (names.empty() ? "" : "at " + join(names) + ", ") + "in " + join(where);
    }
};

// The library's reason for not loading it.
std::string refusal(const Outcome &outcome, const std::string &watcher) {
    const std::string prefix = "libtaskwatch: watcher '" + watcher + "': ";
    size_t at = outcome.output.find(prefix);
    if (at == std::string::npos) {
        at = outcome.output.find("libtaskwatch: ");
        if (at == std::string::npos) return "";
        at += std::strlen("libtaskwatch: ");
    } else {
        at += prefix.size();
    }
    return outcome.output.substr(at, outcome.output.find('\n', at) - at);
}

// How a scratch process ended otherwise than by itself, or "".
std::string bad_end(const Outcome &outcome) {
    if (outcome.hung)
        return "has not returned after " + std::to_string(time_limit_s) + " s: the program hangs, or waits that long";
    int signal = WIFSIGNALED(outcome.status) ? WTERMSIG(outcome.status) : int(outcome.record->signal);
    if (signal) return std::string("ends the program by signal ") + std::to_string(signal) + " (" + strsignal(signal) + ")";
    if (!outcome.record->finished) return "ends the program with status " + std::to_string(WEXITSTATUS(outcome.status));
    return "";
}

bool is_observer(const check_record &record) { return record.described && record.priority == WATCH_PRIORITY_OBSERVER; }

struct Findings {
    std::map<std::string, Places> ends;
    Places calls[categories], stops, positives, kept;
    std::set<unsigned> called[categories];
    int positive = 0;
    unsigned walks = 0, stack = 0;
    bool observes = false;
    bool came[CHECK_PLACES][CHECK_KINDS] = {};

    void add(const Outcome &outcome, unsigned driven) {
        const check_record &record = *outcome.record;
        const std::string end = bad_end(outcome);
        bool placed = false;
        observes |= is_observer(record);
        for (unsigned place = 0; place < CHECK_PLACES; place++) {
            for (unsigned kind = 0; kind < CHECK_KINDS; kind++) {
                const auto &at = record.at[place][kind];
                walks += at.walks;
                came[place][kind] |= at.walks != 0;
                // Below zero: somebody else took over a callback that its own process did not live to end.
                if (int32_t(at.running) > 0)
                    ends[end.empty() ? "ends a child of the program" : end].add(kind, place), placed = true;
                if ((kind >= CHECK_EXEC || is_observer(record)) && at.stops) stops.add(kind, place);
                if (at.positive && !is_observer(record)) positives.add(kind, place), positive = int(at.positive);
                for (unsigned call = 0; call < CHECK_CALLS; call++) {
                    if (!at.calls[call]) continue;
                    calls[unsafe_calls[call].category].add(kind, place);
                    called[unsafe_calls[call].category].insert(call);
                }
            }
        }
        if (!end.empty() && !placed) ends[end].places.insert(driven);
        stack = std::max<unsigned>(stack, record.stack);
        if (record.kept) kept.places.insert(driven);
    }
};

// A new image begins in its main thread; what a vfork child is the INIT of, its parent was told.
bool can_come(unsigned place, unsigned kind) {
    return place == CHECK_MAIN || (kind != CHECK_EXEC && (place != CHECK_VFORK || kind != CHECK_INIT));
}

// A watcher that refuses creations or calls keeps some events from coming; so does one that ends the program.
void report_missing(const Findings &findings, Report &report) {
    Places missing;
    for (unsigned place = 0; place < CHECK_PLACES; place++)
        for (unsigned kind = 0; kind < CHECK_KINDS; kind++)
            if (can_come(place, kind) && !findings.came[place][kind]) missing.add(kind, place);
    if (!missing.kinds.empty()) report.note("some did not come, because calls were refused or ended (" + missing.text() + ")");
}

void report_findings(const Findings &findings, const WatcherObject &object, Report &report) {
    for (const auto &[end, places] : findings.ends) report.problem(end + " (" + places.text() + ")");
    std::set<std::string> seen;
    for (unsigned category = 0; category < categories; category++) {
        if (findings.called[category].empty()) continue;
        std::vector<std::string> names;
        for (unsigned call : findings.called[category]) {
            names.emplace_back(unsafe_calls[call].name);
            seen.insert(unsafe_calls[call].name);
        }
        report.problem(std::string(category_texts[category][0]) + ": " + join(names) + " (" +
                       findings.calls[category].text() + "); it may have interrupted the same function and waits for itself: " +
                       category_texts[category][1]);
    }
    std::vector<std::string> unseen;
    for (const std::string &name : object.unsafe)
        if (!seen.contains(name)) unseen.push_back(name);
    if (!unseen.empty()) report.note("refers to " + join(unseen) + ", which no callback called here: for init and fini only");
    if (!findings.stops.kinds.empty())
        report.problem("returns STOP " + findings.stops.text() + ", where it changes nothing; " +
                       (findings.observes ? "nothing that an observer answers does: take another priority to refuse"
                                          : "creations are refused at INIT, calls when asked BEFORE"));
    if (!findings.positives.kinds.empty())
        report.problem("returns " + std::to_string(findings.positive) + " " + findings.positives.text() +
                       ", which means 'go on'; a refusal is notifier_from_errno(-" +
                       (findings.positive < 134 ? strerrorname_np(findings.positive) : "EAGAIN") + ")");
    if (!findings.kept.places.empty())
        report.problem("keeps a descriptor with a low number open (" + findings.kept.text() + "): the program's next one gets another number; write through a taskwatch_sink");
    if (findings.stack > 4096)
        report.problem("uses " + std::to_string(findings.stack) + " bytes of stack in a callback; a thread may have 16 KiB, " +
                       "a signal handler less: stay below 1 KiB");
}

// --- all of it

void report_interface(const Outcome &outcome, const std::string &file, Report &report) {
    const check_record &record = *outcome.record;
    if (!record.described) {
        std::printf("%s\n", file.c_str());
        report.fact("interface", "registers itself, as in 2006: no descriptor, so no options, name or init");
        return;
    }
    std::printf("%s: %s\n", record.name, record.description[0] ? record.description : "(no description)");
    report.fact("interface", "version " + std::to_string(record.version) + ", " + std::to_string(record.size) + " bytes");
    report.fact("events", event_names(record.events) +
                              (record.priority == WATCH_PRIORITY_OBSERVER ? ", as an observer"
                               : record.priority ? ", priority " + std::to_string(record.priority) : ""));
    if (!record.description[0]) report.note("has no description for taskwatch --list");
}

int check(const Setting &setting) {
    Report report;
    const WatcherObject object = read_watcher_object(setting.watcher);
    if (!object.error.empty()) {
        std::fprintf(stderr, "taskwatch: --check: %s: %s\n", setting.watcher.c_str(), object.error.c_str());
        return 125;
    }
    std::vector<std::future<Outcome>> running;
    std::vector<Outcome> outcomes;
    for (unsigned place = 0; place < CHECK_PLACES; place++)
        running.push_back(std::async(std::launch::async, run_scratch, setting, place));
    for (auto &one : running) outcomes.push_back(one.get());
    const std::string reason = refusal(outcomes[0], setting.watcher);
    if (outcomes[0].status == 125 << 8 && !reason.empty()) {
        std::printf("%s\n", setting.watcher.c_str());
        report.problem("is not loaded: " + reason);
        report_object(object, report);
        return report.verdict();
    }
    Findings findings;
    for (unsigned place = 0; place < CHECK_PLACES; place++) findings.add(outcomes[place], place);
    report_interface(outcomes[0], setting.watcher, report);
    report.fact("callbacks", std::to_string(findings.walks) + " events, in " +
                                 join({std::begin(place_names), std::end(place_names)}));
    report_missing(findings, report);
    report.fact("stack", findings.stack ? "at most " + std::to_string(findings.stack) + " bytes" : "not measured");
    report_object(object, report);
    report_findings(findings, object, report);
    return report.verdict();
}

std::string own_folder() {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    std::string text(path, length > 0 ? size_t(length) : 0);
    return text.substr(0, text.rfind('/'));
}

}  // namespace

int main(int argc, char **argv) {
    if (argc == 1 && std::strcmp(argv[0], "check-leaf") == 0) return 0;
    if (argc == 5 && std::strcmp(argv[1], "drive") == 0)
        return drive(unsigned(std::atoi(argv[2])), argv[3], argv[4]);
    if (argc != 5) {
        std::fputs("usage: taskwatch-check FILE.so [:OPTIONS] VARIABLE LIBRARY\n", stderr);
        return 125;
    }
    try {
        return check({.watcher = argv[1], .variable = argv[3], .options = argv[2] + (argv[2][0] == ':'), .library = argv[4], .folder = own_folder()});
    } catch (const std::exception &reason) {
        std::fprintf(stderr, "taskwatch: --check: %s\n", reason.what());
        return 125;
    }
}
