// SPDX-License-Identifier: MIT
// load_watchers() with files that are nearly watchers or nothing of the kind: what is refused in which
// words, and which code of a refused file has run.
#include "loader_case.hpp"

#include <elf.h>

#include "watcher_file.hpp"

namespace {

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

TEST_F(LoaderFile, Text) {
    expect(file("text.so", "#!/bin/sh\n"), "not an ELF file; a watcher is a shared object");
}

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
        EXPECT_EQ(load({.watchers = name}), before + "refused: watcher '" + name + "': " + plugin(name) +
                                                ": " + why + "\n" + after + "1 refused\n");
    }
};

TEST_F(LoaderDescriptor, WrongVersionIsRefusedBeforeAnyOfItsCodeRuns) {
    const char *why =
        "made for version 2 of the watcher interface; this library has version 1, compile it anew";
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
    expect("undefined",
           "undefined symbol: no_such_function; a watcher has to find all it needs when it is loaded", "",
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
    EXPECT_EQ(
        load({.watchers = "both", .end = true}),
        "registers as both\nrefused: watcher 'both': not today; come tomorrow\n1 refused\nboth's event 1\n");
}

}  // namespace
