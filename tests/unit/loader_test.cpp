// SPDX-License-Identifier: MIT
// load_watchers() with files that are watchers, nearly so, or nothing of the kind: what is refused in which
// words, which code of a refused file has run, and what is called of an accepted one. Each case loads in a
// process of its own, because a loaded watcher stays; that process tells what happened line by line.
// The splitting of options is options_test.cpp.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "loader.hpp"
#include "watcher_file.hpp"

namespace {

namespace fs = std::filesystem;

// Where the process that loads tells what happens.
int transcript = -1;

void tell(const std::string &line) {
    std::string text = line + "\n";
    if (write(transcript, text.data(), text.size()) != ssize_t(text.size())) _exit(99);
}

taskwatch::Chain chain;
taskwatch::PinStack pins;

}  // namespace

// What plug-ins call.
extern "C" void plugin_says(const char *line) { tell(line); }

extern "C" int register_task_watcher(notifier_block *nb) {
    tell(std::string("registers as ") + taskwatch::loading_name());
    return -chain.add(nb, WATCH_MASK_ALL, taskwatch::loading_name());
}

extern "C" int unregister_task_watcher(notifier_block *nb) {
    tell("unregisters");
    return -chain.remove(nb, pins);
}

namespace {

// Everything of a list of watchers that a test may want to say.
struct Setting {
    std::string watchers;
    std::vector<std::string> environment = {};
    std::string path = "default";  // TASKWATCH_PATH; "": not set
    std::string own_folder = "";   // "": none
    std::function<void()> before = [] {};
    bool end = false;  // walk INIT and finish afterwards
};

class Loader : public testing::Test {
  protected:
    Loader() {
        char name[] = "/tmp/loader_test.XXXXXX";
        folder_ = mkdtemp(name);
        chmod(name, 0755);
        const char *plugins = getenv("TASKWATCH_TEST_PLUGINS");
        plugins_ = plugins ? plugins : "";
    }
    ~Loader() override { fs::remove_all(folder_); }
    void SetUp() override { ASSERT_FALSE(plugins_.empty()) << "TASKWATCH_TEST_PLUGINS names the plug-ins' folder"; }

    std::string plugin(const std::string &name) const { return plugins_ + "/" + name + ".so"; }

    // A file in this test's own folder.
    std::string file(const std::string &name, const std::string &bytes, mode_t mode = 0644) {
        std::string path = folder_ + "/" + name;
        std::ofstream(path, std::ios::binary) << bytes;
        chmod(path.c_str(), mode);
        return path;
    }

    std::string bytes_of(const std::string &name) const {
        std::ifstream stream(plugin(name), std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    // A copy of the good plug-in with one field of its ELF header changed.
    template <typename Field>
    std::string good_with(size_t offset, Field value) {
        std::string bytes = bytes_of("good");
        memcpy(bytes.data() + offset, &value, sizeof value);
        return bytes;
    }

    // Loads and returns the transcript, the number of refusals last.
    std::string load(const Setting &setting) {
        int ends[2];
        if (pipe(ends) != 0) return "no pipe";
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            transcript = ends[1];
            load_here(setting);
            _exit(0);
        }
        close(ends[1]);
        std::string text;
        char buffer[4096];
        for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, size_t(got));
        close(ends[0]);
        int status = -1;
        waitpid(child, &status, 0);
        if (status != 0) text += "ended with " + std::to_string(status) + "\n";
        return text;
    }

    // The one line of refusal that a single item gets.
    std::string refusal(const std::string &watchers, const std::string &path = "default") {
        return load({.watchers = watchers, .path = path});
    }

    std::string folder_, plugins_;

  private:
    void load_here(const Setting &setting) {
        std::vector<char *> envp;
        for (const std::string &entry : setting.environment) envp.push_back(const_cast<char *>(entry.c_str()));
        envp.push_back(nullptr);
        std::string path = setting.path == "default" ? plugins_ : setting.path;

        taskwatch::Config config;
        config.watchers = setting.watchers.c_str();
        config.path = path.empty() ? nullptr : path.c_str();
        taskwatch::LoaderHost host = {
            .chain = &chain,
            .envp = envp.data(),
            .own_folder = setting.own_folder.empty() ? nullptr : setting.own_folder.c_str(),
            .refuse = [](const char *message) { tell(std::string("refused: ") + message); }};

        setting.before();
        errno = ENOTTY;
        int refused = taskwatch::load_watchers(config, host);
        if (errno != ENOTTY) tell("errno is spoilt");
        if (strcmp(taskwatch::loading_name(), "program") != 0) tell("still loading");
        if (refused) tell(std::to_string(refused) + " refused");
        if (!setting.end) return;
        task_watch task = {};
        chain.walk({.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT}, task, pins);
        taskwatch::finish_watchers(TASKWATCH_FINI_SESSION);
        taskwatch::finish_watchers(TASKWATCH_FINI_PROCESS);
    }
};

std::string line(const std::string &message) { return "refused: " + message + "\n1 refused\n"; }

// ------------------------------------------------------------------------------------------------
// Accepted

TEST_F(Loader, AWatcherIsInitialisedCalledAndFinishedOnce) {
    EXPECT_EQ(load({.watchers = "good", .end = true}), "constructor\ninit ''\nevent 1\nfini 1\n");
}

TEST_F(Loader, AWatcherWithoutInitIsRegistered) {
    EXPECT_EQ(load({.watchers = "no_init", .end = true}), "constructor\nevent 1\nfini 1\n");
}

TEST_F(Loader, AWatcherOfTheOldHashTableIsRegistered) {
    EXPECT_EQ(load({.watchers = "good_sysv", .end = true}), "constructor\ninit ''\nevent 1\nfini 1\n");
}

TEST_F(Loader, ALongerDescriptorIsALaterVersionsAndGood) {
    EXPECT_EQ(load({.watchers = "longer", .end = true}), "constructor\ninit ''\nevent 1\nfini 1\n");
}

TEST_F(Loader, ADescriptorThatAConstructorFillsInIsRead) {
    EXPECT_EQ(load({.watchers = "filled_late", .end = true}), "event 1\n");
}

TEST_F(Loader, AConstructorThatRegistersNeedsNoDescriptor) {
    EXPECT_EQ(load({.watchers = "constructor", .end = true}), "registers as constructor\nconstructor's event 1\n");
}

TEST_F(Loader, AConstructorsBlockGetsANameMadeOfItsPath) {
    std::string path = file("My.Watcher.of-2006+and+later+and-later.so", bytes_of("constructor"));
    EXPECT_EQ(load({.watchers = path}), "registers as my_watcher_of-2006_and_later_an\n");
}

TEST_F(Loader, ANameOf31CharactersIsGood) {
    EXPECT_EQ(load({.watchers = "name_of_31"}), "constructor\ninit ''\n");
}

TEST_F(Loader, InitMayChooseThePriority) {
    // An observer is called last, although it was registered first.
    EXPECT_EQ(load({.watchers = "priority:constructor", .end = true}),
              "constructor\nregisters as constructor\nconstructor's event 1\nevent 1\nfini 1\n");
}

TEST_F(Loader, OrderOfTheListIsTheOrderOfTheChain) {
    EXPECT_EQ(load({.watchers = "constructor:good", .end = true}),
              "registers as constructor\nconstructor\ninit ''\nconstructor's event 1\nevent 1\nfini 1\n");
}

TEST_F(Loader, NoListAndEmptyItemsAreNothing) {
    EXPECT_EQ(load({.watchers = ""}), "");
    EXPECT_EQ(load({.watchers = "::no_init:"}), "constructor\n");
}

// ------------------------------------------------------------------------------------------------
// Options

TEST_F(Loader, OptionsComeFromTheVariableOfTheName) {
    EXPECT_EQ(load({.watchers = "good", .environment = {"TASKWATCH_GOODS=no", "TASKWATCH_GOOD=a=1,events=x,y"}}),
              "constructor\ninit 'a=1,events=x,y'\n");
}

TEST_F(Loader, OptionsOfAPathComeFromTheVariableOfItsBasename) {
    std::string path = file("My.Good-one.so", bytes_of("good"));
    EXPECT_EQ(load({.watchers = path, .environment = {"TASKWATCH_MY_GOOD_ONE=a=1", "TASKWATCH_GOOD=no"}}),
              "constructor\ninit 'a=1'\n");
}

TEST_F(Loader, OptionsMayBeChangedInPlaceAndTheVariableStays) {
    char entry[] = "TASKWATCH_GOOD=a=1";  // the plug-in overwrites what it is given
    Setting setting = {.watchers = "good", .environment = {entry}};
    EXPECT_EQ(load(setting), "constructor\ninit 'a=1'\n");
    EXPECT_EQ(load(setting), "constructor\ninit 'a=1'\n");
}

// ------------------------------------------------------------------------------------------------
// Where a watcher is looked for

TEST_F(Loader, FoldersAreSearchedInTheirOrder) {
    file("good.so", "text");
    EXPECT_EQ(load({.watchers = "good", .path = "/nowhere:" + plugins_ + ":" + folder_}), "constructor\ninit ''\n");
    EXPECT_EQ(load({.watchers = "good", .path = folder_ + ":" + plugins_}),
              line("watcher 'good': " + folder_ + "/good.so: not an ELF file; a watcher is a shared object"));
}

TEST_F(Loader, TheOwnFolderComesLast) {
    EXPECT_EQ(load({.watchers = "good", .path = "", .own_folder = plugins_}), "constructor\ninit ''\n");
    file("good.so", "text");
    EXPECT_EQ(load({.watchers = "good", .own_folder = folder_}), "constructor\ninit ''\n");
}

TEST_F(Loader, AMissingNameTellsWhereItWasLookedFor) {
    const std::string rest = "; 'taskwatch --list' shows what there is";
    EXPECT_EQ(refusal("nosuch"), line("watcher 'nosuch': no nosuch.so in TASKWATCH_PATH" + rest));
    EXPECT_EQ(load({.watchers = "nosuch", .own_folder = "/usr/lib/taskwatch"}),
              line("watcher 'nosuch': no nosuch.so in TASKWATCH_PATH or /usr/lib/taskwatch" + rest));
    EXPECT_EQ(load({.watchers = "nosuch", .path = "", .own_folder = "/usr/lib/taskwatch"}),
              line("watcher 'nosuch': no nosuch.so in /usr/lib/taskwatch" + rest));
    EXPECT_EQ(load({.watchers = "nosuch", .path = ""}),
              line("watcher 'nosuch': no folder to look in; set TASKWATCH_PATH or give an absolute path"));
}

TEST_F(Loader, ARelativeFolderIsRefusedAndTheOthersAreSearched) {
    EXPECT_EQ(load({.watchers = "no_init", .path = "plugins:" + plugins_}),
              "refused: TASKWATCH_PATH: 'plugins' is a relative folder; give absolute ones\nconstructor\n1 refused\n");
}

TEST_F(Loader, ARelativePathIsRefused) {
    EXPECT_EQ(refusal("./good.so"), line("watcher './good.so': a relative path; give an absolute one"));
}

TEST_F(Loader, AMissingPathIsRefused) {
    EXPECT_EQ(refusal("/nowhere/mine.so"),
              line("watcher '/nowhere/mine.so': no such file; give the path of a shared object"));
}

TEST_F(Loader, APathWithAColonIsToldThatItSeparates) {
    EXPECT_EQ(refusal("/nowhere/a:b/mine.so"),
              "refused: watcher '/nowhere/a': no such file; give the path of a shared object, without a ':' in it: "
              "that separates watchers\n"
              "refused: watcher 'b/mine.so': a relative path; give an absolute one\n"
              "2 refused\n");
}

TEST_F(Loader, WhatIsNeitherNameNorPathIsRefused) {
    const std::string rest = ": not a name; a name is 1 to 31 characters of a-z 0-9 _ -, a path is absolute";
    for (std::string text : {"good.so", "Good", " good", "a23456789_b23456789-c23456789012"})
        EXPECT_EQ(refusal(text), line("watcher '" + text + "'" + rest));
}

TEST_F(Loader, ATooLongPathIsRefused) {
    std::string path = "/" + std::string(5000, 'a');
    std::string text = refusal(path);
    EXPECT_EQ(text.substr(0, 60), "refused: watcher '" + path.substr(0, 42));
    EXPECT_EQ(text.substr(text.size() - 16), "aaa...\n1 refused\n"  + std::string()) << text;
}

TEST_F(Loader, AnUnreadableFileIsRefused) {
    if (geteuid() == 0) {
        file("mine.so", bytes_of("good"), 0);
        Setting setting = {.watchers = "mine:" + folder_ + "/mine.so", .path = folder_};
        setting.before = [] {
            if (seteuid(65534) != 0) tell("no seteuid");
        };
        const std::string rest = "Permission denied; every program of the session must be able to read it\n";
        EXPECT_EQ(load(setting), "refused: watcher 'mine': " + folder_ + "/mine.so: " + rest + "refused: watcher '" +
                                     folder_ + "/mine.so': " + rest + "2 refused\n");
    } else {
        file("mine.so", bytes_of("good"), 0);
        EXPECT_EQ(refusal("mine", folder_),
                  line("watcher 'mine': " + folder_ +
                       "/mine.so: Permission denied; every program of the session must be able to read it"));
    }
}

// ------------------------------------------------------------------------------------------------
// Files that are no shared objects of this machine: none of their code runs

class LoaderFile : public Loader {
  protected:
    // Both ways to name it: the file is named once in each line.
    void expect(const std::string &path, const std::string &why) {
        std::string name = fs::path(path).stem();
        EXPECT_EQ(refusal(path), line("watcher '" + path + "': " + why));
        EXPECT_EQ(refusal(name, folder_), line("watcher '" + name + "': " + path + ": " + why));
    }
};

TEST_F(LoaderFile, Text) { expect(file("text.so", "#!/bin/sh\n"), "not an ELF file; a watcher is a shared object"); }

TEST_F(LoaderFile, Empty) { expect(file("empty.so", ""), "not an ELF file; a watcher is a shared object"); }

TEST_F(LoaderFile, OtherClass) {
    expect(file("small.so", good_with(EI_CLASS, uint8_t(ELFCLASS32))),
           "a 32-bit ELF file; this process needs a 64-bit one");
}

TEST_F(LoaderFile, OtherMachine) {
    expect(file("other.so", good_with(offsetof(Elf64_Ehdr, e_machine), uint16_t(EM_RISCV))),
           "an ELF file for another machine; build it for this one");
}

TEST_F(LoaderFile, OtherByteOrder) {
    expect(file("swapped.so", good_with(EI_DATA, uint8_t(ELFDATA2MSB))),
           "an ELF file for another machine; build it for this one");
}

TEST_F(LoaderFile, ObjectFile) {
    expect(file("object.so", good_with(offsetof(Elf64_Ehdr, e_type), uint16_t(ET_REL))),
           "not a shared object; link it with -shared");
}

// The dynamic linker would be killed by SIGBUS in each of these lengths that it does not check itself.
TEST_F(LoaderFile, Truncated) {
    std::string whole = bytes_of("good");
    for (size_t length : {size_t(20), size_t(100), size_t(5000), whole.size() / 2})
        expect(file("cut.so", whole.substr(0, length)), "a truncated ELF file; build it anew");
}

TEST_F(LoaderFile, HeadersBeyondTheEnd) {
    expect(file("far.so", good_with(offsetof(Elf64_Ehdr, e_phoff), UINT64_MAX - 8)),
           "a truncated ELF file; build it anew");
}

TEST_F(LoaderFile, Folder) {
    fs::create_directory(folder_ + "/folder.so");
    expect(folder_ + "/folder.so", "not a regular file; a watcher is a shared object");
}

TEST_F(LoaderFile, PipeWithoutAWriterDoesNotBlock) {
    ASSERT_EQ(mkfifo((folder_ + "/pipe.so").c_str(), 0644), 0);
    expect(folder_ + "/pipe.so", "not a regular file; a watcher is a shared object");
}

// Whatever a damaged table says, the answer is a line or a loaded watcher, never a crash or a hang.
TEST_F(LoaderFile, DamagedTablesAreSurvived) {
    std::string whole = bytes_of("good");
    Elf64_Ehdr header;
    memcpy(&header, whole.data(), sizeof header);
    for (unsigned n = 0; n < header.e_phnum; n++) {
        Elf64_Phdr part;
        size_t at = header.e_phoff + n * sizeof part;
        memcpy(&part, whole.data() + at, sizeof part);
        if (part.p_type != PT_DYNAMIC) continue;
        for (size_t entry = 0; entry < part.p_filesz; entry += sizeof(Elf64_Dyn))
            for (uint64_t wrong : {uint64_t(0), uint64_t(8), UINT64_MAX - 4, uint64_t(1) << 40}) {
                std::string bytes = whole;
                memcpy(bytes.data() + part.p_offset + entry + 8, &wrong, sizeof wrong);
                taskwatch::WatcherFile result;
                EXPECT_EQ(taskwatch::inspect_watcher(file("damaged.so", bytes).c_str(), result), 0);
            }
    }
}

// ------------------------------------------------------------------------------------------------
// Shared objects that are no watchers of ours

class LoaderDescriptor : public Loader {
  protected:
    // `ran`: what the plug-in tells before and after the refusal.
    void expect(const std::string &name, const std::string &why, const std::string &before = "constructor\n",
                const std::string &after = "destructor\n") {
        EXPECT_EQ(load({.watchers = name}),
                  before + "refused: watcher '" + name + "': " + plugin(name) + ": " + why + "\n" + after + "1 refused\n");
    }
};

TEST_F(LoaderDescriptor, WrongVersionIsRefusedBeforeAnyOfItsCodeRuns) {
    const char *why = "made for version 2 of the watcher interface; this library has version 1, compile it anew";
    expect("wrong_version", why, "", "");
    expect("wrong_version_sysv", why, "", "");
}

TEST_F(LoaderDescriptor, ShortOneIsRefusedBeforeAnyOfItsCodeRuns) {
    expect("short",
           "its descriptor has 40 bytes; set .size to sizeof(struct taskwatch_watcher), " +
               std::to_string(sizeof(taskwatch_watcher)) + " or more",
           "", "");
}

TEST_F(LoaderDescriptor, NoneAndNoRegistration) {
    expect("nothing",
           "no descriptor, and its constructor registered nothing; export taskwatch_watcher or call "
           "register_task_watcher()");
}

TEST_F(LoaderDescriptor, UndefinedSymbol) {
    expect("undefined", "undefined symbol: no_such_function; a watcher has to find all it needs when it is loaded", "",
           "");
}

TEST_F(LoaderDescriptor, BadNames) {
    const char *why = "no good name in its descriptor; set .name to 1 to 31 characters of a-z 0-9 _ -";
    for (const char *name : {"no_name", "empty_name", "bad_name"}) expect(name, why);
    expect("name_of_32", why);
}

TEST_F(LoaderDescriptor, NoCallback) { expect("no_callback", "no callback in its descriptor; set .notify"); }

TEST_F(LoaderDescriptor, BadEvents) {
    for (const char *name : {"no_events", "only_before", "unknown_events"})
        expect(name, "no events, or unknown ones, in its descriptor; set .events to WATCH_MASK_ bits");
}

TEST_F(LoaderDescriptor, InitsMessageIsTheReason) {
    EXPECT_EQ(load({.watchers = "refuses", .end = true}),
              "constructor\nrefused: watcher 'refuses': width=7 is out of range; a width is 1 to 5\n"
              "destructor\n1 refused\n");
}

TEST_F(LoaderDescriptor, AMessageStaysOneLineWithoutControlCharacters) {
    EXPECT_EQ(load({.watchers = "colours"}),
              "constructor\nrefused: watcher 'colours': ?[31mtwo?lines\ndestructor\n1 refused\n");
}

TEST_F(LoaderDescriptor, ARefusedOneWhoseConstructorRegisteredStaysInMemory) {
    EXPECT_EQ(load({.watchers = "both", .end = true}),
              "registers as both\nrefused: watcher 'both': not today; come tomorrow\n1 refused\nboth's event 1\n");
}

// ------------------------------------------------------------------------------------------------
// More than one

TEST_F(Loader, TwoOfOneNameAreOne) {
    EXPECT_EQ(load({.watchers = "twin_a:twin_b", .end = true}),
              "init ''\nrefused: watcher 'twin_b': " + plugin("twin_b") +
                  ": a watcher named 'twin' is loaded already; each needs its own name\n1 refused\nevent 1\nfini 1\n");
}

TEST_F(Loader, TwoConstructorsOfOneNameAreOneAndTheSecondDoesNotRun) {
    std::string path = file("constructor.so", bytes_of("constructor"));
    EXPECT_EQ(load({.watchers = "constructor:" + path}),
              "registers as constructor\nrefused: watcher '" + path +
                  "': a watcher named 'constructor' is loaded already; each needs its own name\n1 refused\n");
}

TEST_F(Loader, OneNamedTwiceIsLoadedOnce) {
    const std::string rest = ": this file is loaded already; name each watcher once\n";
    fs::create_symlink(plugin("good"), folder_ + "/other.so");
    EXPECT_EQ(load({.watchers = "good:good:" + folder_ + "/other.so", .end = true}),
              "constructor\ninit ''\nrefused: watcher 'good': " + plugin("good") + rest + "refused: watcher '" +
                  folder_ + "/other.so'" + rest + "2 refused\nevent 1\nfini 1\n");
}

TEST_F(Loader, ARefusedOneDoesNotHinderTheOthers) {
    EXPECT_EQ(load({.watchers = "nosuch:no_init:refuses", .end = true}),
              "refused: watcher 'nosuch': no nosuch.so in TASKWATCH_PATH; 'taskwatch --list' shows what there is\n"
              "constructor\nconstructor\nrefused: watcher 'refuses': width=7 is out of range; a width is 1 to 5\n"
              "destructor\n2 refused\nevent 1\nfini 1\n");
}

TEST_F(Loader, SixteenAreLoadedAndTheSeventeenthIsNot) {
    std::string list, expected;
    for (int n = 1; n <= 17; n++) {
        std::string name = "w" + std::to_string(n);
        file(name + ".so", bytes_of("constructor"));
        list += name + ":";
        expected += n <= 16 ? "registers as " + name + "\n"
                            : "refused: watcher 'w17': " + folder_ +
                                  "/w17.so: one too many; at most 16 watchers are loaded\n1 refused\n";
    }
    EXPECT_EQ(load({.watchers = list, .path = folder_}), expected);
}

TEST_F(Loader, AFullChainRefuses) {
    Setting setting = {.watchers = "no_init"};
    setting.before = [] {
        static notifier_block blocks[WATCH_CHAIN_CAPACITY];
        for (notifier_block &block : blocks) {
            block.notifier_call = [](notifier_block *, unsigned long, void *) { return NOTIFY_DONE; };
            if (chain.add(&block, WATCH_MASK_ALL, "program") != 0) tell("no room before");
        }
    };
    EXPECT_EQ(load(setting),
              "constructor\nrefused: watcher 'no_init': the chain is full; at most 64 blocks are registered\n"
              "destructor\n1 refused\n");
}

// ------------------------------------------------------------------------------------------------
// The variable of the options

TEST_F(Loader, ANameOfTheLibrarysOwnVariableIsRefused) {
    EXPECT_EQ(refusal("path"), line("watcher 'path': " + plugin("path") +
                                    ": TASKWATCH_<NAME> would be a variable of the library's; rename the file"));
}

TEST_F(Loader, APathTooLongForItsVariableIsRefused) {
    std::string longest = file(std::string(53, 'a') + ".so", bytes_of("good"));
    EXPECT_EQ(load({.watchers = longest}), "constructor\ninit ''\n");
    std::string path = file(std::string(54, 'a') + ".so", bytes_of("good"));
    EXPECT_EQ(refusal(path), line("watcher '" + path +
                                  "': no room for its name in TASKWATCH_<NAME>, 63 bytes; give the file a shorter one"));
}

}  // namespace
