// SPDX-License-Identifier: MIT
// load_watchers(): which watchers are loaded, under which names and options, in which order, where they are
// looked for, and what more than one of a kind is. Bad files are in loader_files_test.cpp, the splitting of
// options in options_test.cpp.
#include "loader_case.hpp"

namespace {

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
    EXPECT_EQ(load({.watchers = "constructor", .end = true}),
              "registers as constructor\nconstructor's event 1\n");
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
// Built in

TEST_F(Loader, ABuiltInWatcherNeedsNoFile) {
    EXPECT_EQ(load({.watchers = "inside", .environment = {"TASKWATCH_INSIDE=a=1"}, .built_in = true, .end = true}),
              "inside init 'a=1'\ninside event 1\ninside fini 1\n");
}

TEST_F(Loader, AFileInThePathIsTakenBeforeTheBuiltInOne) {
    file("inside.so", bytes_of("good"));
    EXPECT_EQ(load({.watchers = "inside", .path = folder_, .built_in = true}), "constructor\ninit ''\n");
    EXPECT_EQ(load({.watchers = "inside", .path = "/nowhere:" + folder_, .built_in = true}), "constructor\ninit ''\n");
    EXPECT_EQ(load({.watchers = folder_ + "/inside.so", .path = "", .built_in = true}), "constructor\ninit ''\n");
}

TEST_F(Loader, ABadFileInThePathIsNotPassedOverForTheBuiltInOne) {
    std::string path = file("inside.so", "no ELF file");
    EXPECT_EQ(load({.watchers = "inside", .path = folder_, .built_in = true}),
              line("watcher 'inside': " + path + ": not an ELF file; a watcher is a shared object"));
}

TEST_F(Loader, ABuiltInWatcherIsTakenBeforeTheFileInTheOwnFolder) {
    file("inside.so", bytes_of("good"));
    EXPECT_EQ(load({.watchers = "inside", .path = "", .own_folder = folder_, .built_in = true}), "inside init ''\n");
}

TEST_F(Loader, ABuiltInWatcherThatIsNamedTwiceWorksOnce) {
    EXPECT_EQ(load({.watchers = "inside:inside", .built_in = true}),
              "inside init ''\nrefused: watcher 'inside': a watcher named 'inside' is loaded already; each needs its own "
              "name\n1 refused\n");
}

TEST_F(Loader, ABuiltInWatcherThatRefusesIsOneLine) {
    EXPECT_EQ(load({.watchers = "inside:good", .environment = {"TASKWATCH_INSIDE=no"}, .built_in = true}),
              "inside init 'no'\nrefused: watcher 'inside': it said no\nconstructor\ninit ''\n1 refused\n");
}

// ------------------------------------------------------------------------------------------------
// Options

TEST_F(Loader, OptionsComeFromTheVariableOfTheName) {
    EXPECT_EQ(
        load({.watchers = "good", .environment = {"TASKWATCH_GOODS=no", "TASKWATCH_GOOD=a=1,events=x,y"}}),
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
    EXPECT_EQ(load({.watchers = "good", .path = "/nowhere:" + plugins_ + ":" + folder_}),
              "constructor\ninit ''\n");
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
    file("no_init.so", "text");
    std::string relative = fs::path(folder_).filename();
    Setting setting = {.watchers = "no_init", .path = relative + ":" + plugins_};
    setting.before = [] {
        if (chdir("/tmp") != 0) tell("no chdir");
    };
    EXPECT_EQ(load(setting), "refused: TASKWATCH_PATH: '" + relative +
                                 "' is a relative folder; give absolute ones\nconstructor\n1 refused\n");
}

TEST_F(Loader, ARelativePathIsRefused) {
    EXPECT_EQ(refusal("./good.so"), line("watcher './good.so': a relative path; give an absolute one"));
}

TEST_F(Loader, AMissingPathIsRefused) {
    EXPECT_EQ(refusal("/nowhere/mine.so"),
              line("watcher '/nowhere/mine.so': no such file; give the path of a shared object"));
}

TEST_F(Loader, APathWithAColonIsToldThatItSeparates) {
    EXPECT_EQ(
        refusal("/nowhere/a:b/mine.so"),
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
    EXPECT_EQ(refusal("/" + std::string(5000, 'a')),
              line("watcher '/" + std::string(255, 'a') + "...': the path is too long; at most 4095 bytes"));
}

TEST_F(Loader, AnUnreadableFileIsRefused) {
    if (geteuid() == 0) {
        file("mine.so", bytes_of("good"), 0);
        Setting setting = {.watchers = "mine:" + folder_ + "/mine.so", .path = folder_};
        setting.before = [] {
            if (seteuid(65534) != 0) tell("no seteuid");
        };
        const std::string rest = "Permission denied; every program of the session must be able to read it\n";
        EXPECT_EQ(load(setting), "refused: watcher 'mine': " + folder_ + "/mine.so: " + rest +
                                     "refused: watcher '" + folder_ + "/mine.so': " + rest + "2 refused\n");
    } else {
        file("mine.so", bytes_of("good"), 0);
        EXPECT_EQ(refusal("mine", folder_),
                  line("watcher 'mine': " + folder_ +
                       "/mine.so: Permission denied; every program of the session must be able to read it"));
    }
}

// ------------------------------------------------------------------------------------------------
// More than one

TEST_F(Loader, TwoOfOneNameAreOne) {
    EXPECT_EQ(load({.watchers = "twin_a:twin_b", .end = true}),
              "init ''\nrefused: watcher 'twin_b': " + plugin("twin_b") +
                  ": a watcher named 'twin' is loaded already; each needs its own name\n1 refused\nevent "
                  "1\nfini 1\n");
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
              "constructor\ninit ''\nrefused: watcher 'good': " + plugin("good") + rest +
                  "refused: watcher '" + folder_ + "/other.so'" + rest + "2 refused\nevent 1\nfini 1\n");
}

TEST_F(Loader, ARefusedOneDoesNotHinderTheOthers) {
    EXPECT_EQ(
        load({.watchers = "nosuch:no_init:refuses", .end = true}),
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
    EXPECT_EQ(refusal("path"),
              line("watcher 'path': " + plugin("path") +
                   ": TASKWATCH_<NAME> would be a variable of the library's; rename the file"));
}

TEST_F(Loader, APathTooLongForItsVariableIsRefused) {
    std::string longest = file(std::string(53, 'a') + ".so", bytes_of("good"));
    EXPECT_EQ(load({.watchers = longest}), "constructor\ninit ''\n");
    std::string path = file(std::string(54, 'a') + ".so", bytes_of("good"));
    EXPECT_EQ(refusal(path),
              line("watcher '" + path +
                   "': no room for its name in TASKWATCH_<NAME>, 63 bytes; give the file a shorter one"));
}

}  // namespace
