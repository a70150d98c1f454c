// SPDX-License-Identifier: MIT
// Which images will load us: files made of bytes, scripts, and what is installed here. Secure-execution
// mode is compared with the kernel in target_secure_test.cpp; broken files in target_broken_test.cpp.
#include <sys/inotify.h>

#include "elf_file.hpp"

using namespace elf_file;

TEST(Target, JudgesImagesByClassMachineAndLoader) {
    struct Case {
        Image image;
        const char *expected;
    };
    const Case cases[] = {
        {{.interpreter = glibc, .needed = {"libc.so.6"}}, "yes"},
        {{.interpreter = glibc}, "yes"},
        {{.interpreter = "/opt/old/lib/ld-2.17.so"}, "yes"},
        {{.interpreter = "/nix/store/x-glibc/lib/ld-linux-x86-64.so.2"}, "yes"},
        {{.interpreter = "/lib64/ld-lsb-x86-64.so.3"}, "yes"},
        {{.interpreter = glibc, .type = ET_EXEC}, "yes"},
        {{.interpreter = "/lib/ld-musl-x86_64.so.1"}, "other libc"},
        {{.interpreter = "/system/bin/linker64"}, "other libc"},
        {{.interpreter = "/lib/ld64-uClibc.so.1"}, "other libc"},
        {{.interpreter = "", .type = ET_EXEC}, "static"},
        {{.interpreter = "", .needed = {"libc.so.6"}}, "static"},
        {{.interpreter = "", .soname = "libplugin.so.1"}, "static"},
        {{.interpreter = "", .soname = "ld-linux-x86-64.so.2"}, "yes"},
        {{.interpreter = glibc, .machine = EM_AARCH64}, "other class or machine"},
        {{.interpreter = glibc, .machine = EM_386, .file_class = ELFCLASS32}, "other class or machine"},
        {{.interpreter = glibc, .file_class = ELFCLASS32}, "other class or machine"},  // x32
        {{.interpreter = glibc, .type = ET_REL}, "yes"},  // ENOEXEC: nothing to forecast
    };
    Folder folder;
    int number = 0;
    for (const Case &c : cases)
        EXPECT_EQ(judged(folder.write("image", make(c.image))), c.expected) << "case " << number++;
}

TEST(Target, KnowsA32BitProgramByItsShorterHeader) {
    Folder folder;
    Elf32_Ehdr header = {};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS32;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_EXEC;
    header.e_machine = EM_386;
    std::string bytes;
    put(bytes, 0, header);
    EXPECT_EQ(bytes.size(), 52u);
    EXPECT_EQ(judged(folder.write("i386", bytes)), "other class or machine");
}

TEST(Target, NamesTheAsanRuntimeThatIsNeededFirst) {
    Folder folder;
    auto needs = [&](std::vector<std::string> libraries) {
        return judged(folder.write("image", make({.interpreter = glibc, .needed = libraries})));
    };
    EXPECT_EQ(needs({"libasan.so.8", "libc.so.6"}), "yes, behind libasan.so.8");
    EXPECT_EQ(needs({"libclang_rt.asan-x86_64.so"}), "yes, behind libclang_rt.asan-x86_64.so");
    EXPECT_EQ(needs({"libc.so.6", "libasan.so.8"}), "yes");  // would end itself without us as well
    EXPECT_EQ(needs({"libtsan.so.2"}), "yes");
    EXPECT_EQ(needs({"libubsan.so.1", "libasan.so.8"}), "yes");
    EXPECT_EQ(needs({"libasan.so." + std::string(60, '8')}), "yes");  // no such name
}

TEST(Target, FindsProgramHeadersAndNamesWhereverTheyAreInTheFile) {
    Folder folder;
    Image image = {.interpreter = glibc, .needed = {"libasan.so.8"}};
    // At 88 and with 10 more, the loader's name goes over the end of what is read at first.
    for (uint64_t at : {64, 88, 500, 1000, 70000})
        for (uint16_t spare : {0, 10, 12, 100, 1100}) {
            image.headers_at = at;
            image.spare_headers = spare;
            EXPECT_EQ(judged(folder.write("image", make(image))), "yes, behind libasan.so.8")
                << at << ' ' << spare;
        }
    image.needed.insert(image.needed.end(), 200, "libmore.so");
    EXPECT_EQ(judged(folder.write("image", make(image))), "yes, behind libasan.so.8");
}

TEST(Target, JudgesTheProgramsInstalledHere) {
    EXPECT_EQ(judged("/bin/true"), "yes");
    EXPECT_EQ(judged("/lib64/ld-linux-x86-64.so.2"), "yes");
    EXPECT_EQ(judged("/proc/self/exe").substr(0, 3), "yes");
    SKIP_UNLESS(access("/sbin/ldconfig", R_OK) == 0, "no static program at hand: /sbin/ldconfig");
    EXPECT_EQ(judged("/sbin/ldconfig"), "static");
}

// An ELF file may be found only as the interpreter: each script's verdict is that of what it leads to.
TEST(Target, ReadsTheFirstLineOfAScriptAsTheKernelDoes) {
    Folder folder;
    const std::string target = folder.write("static", make({.interpreter = ""}));
    const std::string cut(300, 'x');
    const struct {
        std::string text;
        const char *expected;
    } cases[] = {
        {"#!" + target + "\n", "static"},
        {"#!" + target, "static"},
        {"#! \t " + target + " \t \n", "static"},
        {"#!" + target + " -x -y\necho\n", "static"},
        {"#!" + target + "\targument", "static"},
        {"#!" + target + " " + cut, "static"},
        {"#!" + target + std::string("\0more\n", 6), "static"},
        {"#!" + target + cut + "\n", "yes"},             // the name is cut: ENOEXEC
        {"#!" + std::string(253, ' ') + target, "yes"},  // 255 bytes of nothing
        {"#!\n" + target, "yes"},
        {"#!", "yes"},
        {"#", "yes"},
        {"", "yes"},
        {" #!" + target + "\n", "yes"},
        {"#!/nonexistent/interpreter\n", "yes"},
        {"#!" + folder / "" + "\n", "yes"},
        {"echo no interpreter named\n", "yes"},
    };
    for (const auto &c : cases) EXPECT_EQ(judged(folder.write("script", c.text)), c.expected) << c.text;
}

TEST(Target, TakesANameThatEndsWithTheKernelsBufferButNoLongerOne) {
    Folder folder;
    const std::string target = folder.write("static", make({.interpreter = ""}));
    folder.write("stati", make({.interpreter = ""}));  // what is left of the name when it is cut
    for (size_t blanks : {255 - 2 - target.size(), 256 - 2 - target.size()}) {
        const std::string text = "#!" + std::string(blanks, ' ') + target + " and more";
        const bool fits = text.find(target) + target.size() <= 255;
        EXPECT_EQ(judged(folder.write("script", text)), fits ? "static" : "yes") << blanks;
        // The kernel agrees: what it names runs, or nothing does.
        folder.write("static", contents("/bin/true"));
        const std::string script = folder / "script";
        char *argv[] = {const_cast<char *>(script.c_str()), nullptr};
        EXPECT_EQ(in_child([&] { return execve(script.c_str(), argv, argv + 1) == 0; }), fits) << blanks;
        folder.write("static", make({.interpreter = ""}));
    }
}

TEST(Target, FollowsFiveInterpretersAndNoMore) {
    Folder folder;
    folder.write("0", make({.interpreter = ""}));
    for (int i = 1; i <= 6; ++i)
        folder.write(std::to_string(i), "#!" + folder / std::to_string(i - 1) + "\n");
    EXPECT_EQ(judged(folder / "1"), "static");
    EXPECT_EQ(judged(folder / "5"), "static");
    EXPECT_EQ(judged(folder / "6"), "yes");  // ELOOP
    folder.write("self", "#!" + folder / "self" + "\n");
    EXPECT_EQ(judged(folder / "self"), "yes");
}

TEST(Target, NamesTheAsanRuntimeOfAScriptsInterpreter) {
    Folder folder;
    const std::string image = folder.write("image", make({.interpreter = glibc, .needed = {"libasan.so.8"}}));
    EXPECT_EQ(judged(folder.write("script", "#!" + image + "\n")), "yes, behind libasan.so.8");
}

TEST(Target, OpensNothingButRegularFiles) {
    Folder folder;
    EXPECT_EQ(judged(folder / ""), "yes");
    EXPECT_EQ(judged("/dev/null"), "yes");
    EXPECT_EQ(judged(folder / "missing"), "yes");
    const std::string fifo = folder / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0777), 0);
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ASSERT_GE(inotify_add_watch(watch, fifo.c_str(), IN_OPEN), 0);
    EXPECT_EQ(judged(fifo), "yes");
    EXPECT_EQ(judged(folder.write("script", "#!" + fifo + "\n")), "yes");
    inotify_event event;
    EXPECT_EQ(read(watch, &event, sizeof event), -1) << "it was opened: a writer would have been woken";
    close(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_GT(read(watch, &event, sizeof event), 0) << "the watch does not see an open";
    close(watch);
    EXPECT_TRUE(taskwatch::judge_target({AT_FDCWD, nullptr, nullptr, true}).loads_us);
}

TEST(Target, JudgesWhatAFolderOrADescriptorNames) {
    Folder folder;
    const std::string image = folder.write("image", make({.interpreter = ""}));
    int directory = open((folder / "").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    EXPECT_EQ(judged("image", false, nullptr, directory), "static");
    EXPECT_EQ(judged("", false, nullptr, directory), "yes");
    close(directory);
    for (int flags : {O_RDONLY, O_PATH, O_WRONLY}) {
        int fd = open(image.c_str(), flags | O_CLOEXEC);
        EXPECT_EQ(judged("", false, nullptr, fd), "static") << flags;
        EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC) << "the program's descriptor is still open";
        if (flags == O_RDONLY) {
            EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
        }
        close(fd);
    }
}

TEST(Target, LeavesNoDescriptorOpen) {
    Folder folder;
    const std::string image = folder.write("image", make({.interpreter = ""}));
    const std::string script = folder.write("script", "#!" + image + "\n");
    int before = dup(0);
    close(before);
    for (const std::string &path : {image, script, std::string("/bin/true"), folder / "missing", folder / ""})
        judged(path, true, "/bin/true");
    int after = dup(0);
    close(after);
    EXPECT_EQ(before, after);
}

TEST(Target, SaysWhenOurLibraryCannotBeReached) {
    Folder folder;
    EXPECT_EQ(judged("/bin/true", false, "/nonexistent/libtaskwatch.so"), "library not reachable");
    EXPECT_EQ(judged("/bin/true", false, "/bin/true"), "yes");
    EXPECT_EQ(judged("/bin/true", false, nullptr), "yes");
    EXPECT_EQ(judged("/bin/true", false, "libtaskwatch.so"), "yes");  // where ld.so looks is not known here
    EXPECT_EQ(judged("/bin/true", false, "/usr/$LIB/libtaskwatch.so"), "yes");
    EXPECT_EQ(judged("/sbin/ldconfig", false, "/nonexistent/libtaskwatch.so"), "static");
}

TEST(Target, AsksWhetherTheProgramsUserCanReachTheLibraryNotWhetherRootCan) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to become nobody");
    Folder folder;
    ASSERT_EQ(mkdir((folder / "private").c_str(), 0700), 0);
    const std::string library = folder.write("private/libtaskwatch.so", "");
    EXPECT_EQ(judged("/bin/true", false, library.c_str()), "yes");
    EXPECT_TRUE(in_child([&] {
        return setresuid(65534, 65534, 65534) == 0 &&
               judged("/bin/true", false, library.c_str()) == "library not reachable";
    }));
}

TEST(Target, CannotJudgeWhatItMayNotRead) {
    SKIP_UNLESS(geteuid() == 0, "needs root, to become nobody");
    Folder folder;
    const std::string image = folder.write("image", make({.interpreter = ""}), 0711);
    EXPECT_EQ(judged(image), "static");
    EXPECT_TRUE(in_child([&] { return setresuid(65534, 65534, 65534) == 0 && judged(image) == "yes"; }));
}

// What the compiler really makes, and what the runtime really wants.
TEST(Target, FindsTheRuntimeOfAProgramBuiltWithGccsAsan) {
    Folder folder;
    const std::string program = folder / "asan", log = folder / "log";
    const std::string source = folder.write("main.c", "int main(void) { return 0; }\n");
    const std::string build = "gcc -fsanitize=address -o " + program + " " + source + " 2>/dev/null";
    SKIP_UNLESS(system(build.c_str()) == 0, "no gcc with libasan here");
    const std::string verdict = judged(program);
    ASSERT_EQ(verdict.substr(0, 22), "yes, behind libasan.so");
    const std::string runtime = verdict.substr(12);
    const std::string other = folder / "other.so";
    ASSERT_EQ(system(("gcc -shared -fPIC -o " + other + " -x c /dev/null").c_str()), 0);
    // The premise, and that an empty entry between the two does no harm.
    EXPECT_NE(system(("LD_PRELOAD=" + other + " " + program + " 2>/dev/null").c_str()), 0);
    EXPECT_EQ(system(("LD_PRELOAD=" + runtime + "::" + other + " " + program + " 2>" + log).c_str()), 0);
    EXPECT_EQ(contents(log), "");
}
