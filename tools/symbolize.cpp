// SPDX-License-Identifier: MIT
// taskwatch-symbolize: names for the stacks that the stack watcher wrote. Reads JSON Lines, adds function, file and
// line to each frame, or sums the stacks up for a flame graph. The files are found by the paths in the record, and
// used only if their build ids are the recorded ones; separate debug information is found as gdb finds it.
#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

namespace {

using Json = nlohmann::ordered_json;

struct Name {
    std::string function, file;
    int line = 0;
};

// One file, opened when it is first asked for.
class Module {
  public:
    Module(const std::string &path, const std::string &build_id) {
        static const Dwfl_Callbacks callbacks = {
            .find_elf = dwfl_build_id_find_elf,
            .find_debuginfo = dwfl_standard_find_debuginfo,
            .section_address = dwfl_offline_section_address,
            .debuginfo_path = nullptr,
        };
        dwfl_.reset(dwfl_begin(&callbacks));
        module_ = dwfl_report_offline(dwfl_.get(), path.c_str(), path.c_str(), -1);
        dwfl_report_end(dwfl_.get(), nullptr, nullptr);
        if (!module_)
            refuse(path, dwfl_errmsg(-1));
        else if (!dwfl_module_getelf(module_, &bias_))
            refuse(path, dwfl_errmsg(-1));
        else if (own_build_id() != build_id)
            refuse(path, "it is another one than was recorded: build id " + own_build_id() + ", not " + build_id);
    }

    // `offset` as recorded: where a call returns to, which may be behind its function's end, or where a signal
    // interrupted it.
    std::optional<Name> name(uint64_t offset, bool interrupted) const {
        if (!module_) return {};
        GElf_Addr address = offset - !interrupted + bias_;
        GElf_Off in_function;
        GElf_Sym symbol;
        const char *function =
            dwfl_module_addrinfo(module_, address, &in_function, &symbol, nullptr, nullptr, nullptr);
        if (!function) return {};
        Name name{demangled(function), "", 0};
        if (Dwfl_Line *line = dwfl_module_getsrc(module_, address))
            if (const char *file = dwfl_lineinfo(line, nullptr, &name.line, nullptr, nullptr, nullptr)) name.file = file;
        return name;
    }

  private:
    void refuse(const std::string &path, const std::string &why) {
        std::cerr << "taskwatch-symbolize: " << path << ": " << why << "; its frames stay without names\n";
        module_ = nullptr;
    }

    std::string own_build_id() const {
        const unsigned char *bytes;
        GElf_Addr address;
        int length = dwfl_module_build_id(module_, &bytes, &address);
        std::string text;
        for (int i = 0; i < length; i++) {
            char digits[3];
            snprintf(digits, sizeof digits, "%02x", bytes[i]);
            text += digits;
        }
        return text;
    }

    static std::string demangled(const char *symbol) {
        int status;
        std::unique_ptr<char, decltype(&free)> text(abi::__cxa_demangle(symbol, nullptr, nullptr, &status), free);
        if (status == 0) return text.get();
        return {symbol, strcspn(symbol, "@")};  // a version says nothing here
    }

    std::unique_ptr<Dwfl, decltype(&dwfl_end)> dwfl_{nullptr, dwfl_end};
    Dwfl_Module *module_ = nullptr;
    GElf_Addr bias_ = 0;
};

class Symbolizer {
  public:
    // Adds names to the frames of a record of the stack watcher; others are left alone.
    void add_names(Json &record) {
        if (!is_stack(record)) return;
        for (Json &frame : record["frames"]) {
            if (!frame.value("module", Json()).is_number()) continue;
            const Json &module = record["modules"].at(frame["module"].get<size_t>());
            std::string build_id = module["build_id"].is_null() ? "" : module["build_id"].get<std::string>();
            if (build_id.empty())
                say_once(module["path"].get<std::string>() +
                         ": it has no build id, so it is not known whether it is still the one that was recorded");
            uint64_t offset = std::stoull(frame["offset"].get<std::string>(), nullptr, 16);
            std::optional<Name> name =
                of(module["path"], build_id).name(offset, frame.value("interrupted", false));
            if (!name) continue;
            frame["function"] = name->function;
            if (name->file.empty()) continue;
            frame["file"] = name->file;
            frame["line"] = name->line;
        }
    }

    static bool is_stack(const Json &record) {
        return record.is_object() && record.value("event", "") == "stack" && record.contains("frames") &&
               record["frames"].is_array() && record.contains("modules");
    }

  private:
    Module &of(const std::string &path, const std::string &build_id) {
        auto &module = modules_[{path, build_id}];
        if (!module) module = std::make_unique<Module>(path, build_id);
        return *module;
    }

    void say_once(const std::string &what) {
        if (said_.insert(what).second) std::cerr << "taskwatch-symbolize: " << what << "\n";
    }

    std::map<std::pair<std::string, std::string>, std::unique_ptr<Module>> modules_;
    std::set<std::string> said_;
};

// One line a stack, root first: "make;main;start_job;vfork".
std::string folded(const Json &record) {
    std::string line;
    const Json &frames = record["frames"];
    auto add = [&](std::string name) {
        for (char &c : name)
            if (c == ';' || c == '\n') c = '_';
        line += (line.empty() ? "" : ";") + name;
    };
    for (size_t i = frames.size(); i-- > 0;) {
        const Json &frame = frames[i];
        if (frame.contains("function")) {
            add(frame["function"]);
        } else if (frame.value("module", Json()).is_number()) {
            std::string path = record["modules"].at(frame["module"].get<size_t>())["path"];
            add(path.substr(path.rfind('/') + 1) + "+" + frame["offset"].get<std::string>());
        } else {
            add("[unknown]");
        }
    }
    add(record.value("call", "?"));
    return line;
}

constexpr char usage[] =
    "usage: taskwatch-symbolize [--folded] [FILE]\n"
    "Adds the names of functions to what taskwatch's watcher `stack` has written to FILE, or standard input.\n"
    "\n"
    "      --folded  one line a stack, root first, and how often it was met, for flame graphs\n"
    "  -h, --help    this text\n";

int run(std::istream &input, bool fold) {
    Symbolizer symbolizer;
    std::map<std::string, unsigned long> counts;
    unsigned long broken = 0;
    for (std::string text; std::getline(input, text);) {
        Json record = Json::parse(text, nullptr, false);
        if (record.is_discarded()) {  // a killed writer can tear a line
            broken++;
            continue;
        }
        try {
            symbolizer.add_names(record);
            if (!fold)
                std::cout << record.dump() << "\n";
            else if (Symbolizer::is_stack(record))
                counts[folded(record)]++;
        } catch (const std::exception &error) {
            std::cerr << "taskwatch-symbolize: a record that is not as `stack` writes them: " << error.what() << "\n";
            return 1;
        }
    }
    for (auto &[line, count] : counts) std::cout << line << " " << count << "\n";
    if (broken) std::cerr << "taskwatch-symbolize: " << broken << " lines are not JSON and were left out\n";
    std::cout.flush();
    return std::cout ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv) {
    static const option options[] = {{"folded", no_argument, nullptr, 'f'}, {"help", no_argument, nullptr, 'h'}, {}};
    bool fold = false;
    for (int c; (c = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
        if (c == 'h') {
            std::cout << usage;
            return 0;
        }
        if (c != 'f') return 125;
        fold = true;
    }
    if (argc - optind > 1) {
        std::cerr << "taskwatch-symbolize: one file at a time; '" << argv[optind + 1] << "' is one too many\n";
        return 125;
    }
    if (argc == optind || strcmp(argv[optind], "-") == 0) return run(std::cin, fold);
    std::ifstream file(argv[optind]);
    if (!file) {
        std::cerr << "taskwatch-symbolize: " << argv[optind] << ": " << strerror(errno) << "\n";
        return 1;
    }
    return run(file, fold);
}
