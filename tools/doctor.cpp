// SPDX-License-Identifier: MIT
#include "doctor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "program_file.hpp"

namespace taskwatch {
namespace {

using Kind = ProgramFile::Kind;
using Verdict = Diagnosis::Verdict;

constexpr int script_levels = 5;  // the kernel's limit

constexpr const char shell[] = "/bin/sh";
constexpr const char its_life[] = "its start and its end, if what starts it is watched";

std::string kind_of(const ProgramFile &file) {
    return std::to_string(file.bits) + "-bit " + file.machine;
}

// What the mode and the attributes of the file add to its user's rights.
std::string privileges(const ProgramFile &file) {
    std::string text;
    if (file.set_user_id) text += ", set-user-ID " + file.owner;
    if (file.set_group_id) text += ", set-group-ID " + file.group;
    if (file.capabilities) text += ", file capabilities";
    return text.empty() ? text : text.substr(2);
}

std::string describe(const std::string &path, const ProgramFile &file) {
    std::string text = path + " is ";
    switch (file.kind) {
    case Kind::program:
        text += "a " + kind_of(file) + (file.go ? " Go" : "") + " program, " +
                (file.loader.empty() ? "statically linked" : "loaded by " + file.loader);
        if (!file.sanitizer.empty()) text += ", built with " + file.sanitizer;
        break;
    case Kind::script: text += "a script for " + file.interpreter; break;
    case Kind::text: text += std::string("neither an ELF file nor a script with '#!': it is given to ") + shell; break;
    case Kind::other_elf: text += "an ELF file that is no program"; break;
    case Kind::unreadable: text += "not readable"; break;
    case Kind::missing: text += "missing"; break;
    }
    const std::string more = privileges(file);
    return more.empty() ? text : text + ", " + more;
}

Diagnosis cannot_run(const std::string &what, int error) {
    Diagnosis answer;
    answer.verdict = Verdict::cannot_run;
    answer.sentence = what + std::strerror(error);
    answer.exit_status = error == ENOENT ? 127 : 126;
    return answer;
}

void set_verdict(Diagnosis &answer, Verdict verdict, std::string sentence, std::string seen, std::string not_seen) {
    answer.verdict = verdict;
    answer.exit_status = verdict != Verdict::watched;
    answer.sentence = std::move(sentence);
    answer.seen = std::move(seen);
    answer.not_seen = std::move(not_seen);
}

void say_not_watched(Diagnosis &answer, const ProgramFile &image, const char *library) {
    const std::string_view reason = answer.target.reason;
    const std::string begin = "cannot be watched: ";
    if (reason == "static")
        return set_verdict(answer, Verdict::not_watched, begin + "it is statically linked; what it starts can be",
                           std::string(its_life) + "; if taskwatch starts it, programs that it starts, as adopted tasks",
                           "what it does itself; its children before they execute a program");
    if (reason == "secure-execution") {
        const std::string more = privileges(image);
        return set_verdict(answer, Verdict::not_watched,
                           begin + "it gains privileges when it starts (" +
                               (more.empty() ? "its user's real and effective ids differ" : more) + ")",
                           its_life, "what it does itself, and what it starts: ld.so takes LD_PRELOAD away");
    }
    std::string why;
    if (reason == "other class or machine")
        why = "it is " + kind_of(image) + ", the library " + kind_of(read_program_file(library));
    else if (reason == "other libc")
        why = "it is loaded by " + image.loader + ", which is not glibc's";
    else
        why = std::string("it could not open ") + library;
    set_verdict(answer, Verdict::not_watched, begin + why, its_life, "what it does itself, and what it starts");
}

void say_watched(Diagnosis &answer, const ProgramFile &image) {
    if (image.kind == Kind::unreadable)
        return set_verdict(answer, Verdict::in_part,
                           std::string("is taken to be watched: it cannot be read (") + std::strerror(image.error) + ")",
                           "what it does, unless it is statically linked or for another machine or libc",
                           "what these are: nobody but its owner can tell");
    if (image.go)
        return set_verdict(answer, Verdict::in_part,
                           "is watched in part: Go's runtime makes its system calls itself",
                           "its end; tasks of C code in it; programs that it starts, as adopted tasks",
                           "tasks that Go code makes, before they execute a program; changed ids");
    set_verdict(answer, Verdict::watched, "will be watched",
                "the tasks that it makes, what they execute, changed ids, their ends",
                "what it does by system call instructions of its own");
}

// The first file of this name in PATH that can be executed, or "".
std::string find_in_path(const std::string &name) {
    if (name.find('/') != name.npos) return access(name.c_str(), X_OK) == 0 ? name : "";
    const char *value = std::getenv("PATH");
    const std::string path = value ? value : "/bin:/usr/bin";
    for (size_t begin = 0; begin <= path.size();) {
        const size_t end = std::min(path.find(':', begin), path.size());
        const std::string folder = path.substr(begin, end - begin);
        const std::string file = (folder.empty() ? "." : folder) + "/" + name;
        if (read_program_file(file).kind != Kind::missing && access(file.c_str(), X_OK) == 0) return file;
        begin = end + 1;
    }
    return "";
}

// The command of "#!/usr/bin/env [-S] [NAME=value...] COMMAND"; "" if this is none.
std::string command_of_env(const ProgramFile &script) {
    const std::string &name = script.interpreter;
    if (name.substr(name.rfind('/') + 1) != "env") return "";
    const std::string &words = script.argument;
    for (size_t begin = 0; (begin = words.find_first_not_of(" \t", begin)) != words.npos;) {
        const size_t end = std::min(words.find_first_of(" \t", begin), words.size());
        const std::string word = words.substr(begin, end - begin);
        if (word[0] != '-' && word.find('=') == word.npos) return find_in_path(word);
        begin = end;
    }
    return "";
}

// env is watched, and so it is told what it executes: a second program, whose verdict may be another.
void add_command_of_env(Diagnosis &answer, const ProgramFile &script, const char *library) {
    const std::string command = command_of_env(script);
    if (command.empty()) return;
    const Diagnosis other = diagnose(command, library);
    answer.files.insert(answer.files.end(), other.files.begin(), other.files.end());
    if (other.verdict == Verdict::watched || other.verdict == Verdict::cannot_run) return;
    set_verdict(answer, Verdict::in_part, "is watched in part: " + command + ", its interpreter, " + other.sentence,
                other.seen, other.not_seen);
}

}  // namespace

Diagnosis diagnose(const std::string &path, const char *library) {
    std::vector<std::string> files;
    std::string image_path = path;
    ProgramFile image = read_program_file(path), script;
    if (image.kind == Kind::missing) return cannot_run("", image.error);
    for (int level = 0; image.kind == Kind::script || image.kind == Kind::text; ++level) {
        files.push_back(describe(image_path, image));
        if (level == script_levels) return cannot_run("", ELOOP);
        const bool is_script = image.kind == Kind::script;
        image_path = is_script ? image.interpreter : shell;
        script = std::move(image);
        image = read_program_file(image_path);
        if (image.kind == Kind::missing || access(image_path.c_str(), X_OK) != 0)
            return cannot_run("its interpreter " + image_path + ": ", image.error ? image.error : EACCES);
    }
    if (image.kind == Kind::other_elf) return cannot_run("", ENOEXEC);
    if (!image.loader.empty() && access(image.loader.c_str(), F_OK) != 0)
        return cannot_run("its loader " + image.loader + ": ", errno);
    Diagnosis answer;
    answer.files = std::move(files);
    answer.files.push_back(describe(image_path, image));
    answer.target = judge_target({AT_FDCWD, image_path.c_str(), library, true});
    if (answer.target.loads_us)
        say_watched(answer, image);
    else
        say_not_watched(answer, image, library);
    if (answer.verdict == Verdict::watched && script.kind == Kind::script) add_command_of_env(answer, script, library);
    return answer;
}

}  // namespace taskwatch
