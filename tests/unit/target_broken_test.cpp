// SPDX-License-Identifier: MIT
// Files that lie. No answer is wrong here but a crash, a hang or a name that is not one; the test is worth
// most when it is built with AddressSanitizer and UndefinedBehaviorSanitizer.
#include <sys/mman.h>

#include <random>

#include "elf_file.hpp"

using namespace elf_file;

namespace {

// True if the answer is one that judge_target() can give.
bool is_sane(const std::string &path) {
    taskwatch::Target target = taskwatch::judge_target({AT_FDCWD, path.c_str(), "/bin/true", true});
    const size_t length = strnlen(target.first_library, sizeof target.first_library);
    if (length == sizeof target.first_library) return false;
    if (length > 0 && !taskwatch::is_asan_runtime(target.first_library)) return false;
    if (target.loads_us) return !target.reason;
    for (const char *reason : {"static", "secure-execution", "other class or machine", "other libc"})
        if (std::strcmp(target.reason, reason) == 0) return true;
    return false;
}

// Numbers that go wrong where arithmetic is careless.
const uint64_t odd_numbers[] = {0,          1,          0x38,       0x7f,      0xff,       0xffff,
                                0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, UINT64_MAX - 1,
                                UINT64_MAX, 0x400000,   0x3ff,      0x10000};

}  // namespace

TEST(TargetBroken, TakesAFileCutAtEveryByte) {
    Folder folder;
    const std::string whole = make({.interpreter = glibc, .needed = {"libasan.so.8", "libc.so.6"}});
    const std::string path = folder / "image";
    int named = 0;
    for (size_t length = 0; length <= whole.size(); ++length) {
        folder.write("image", whole.substr(0, length));
        EXPECT_TRUE(is_sane(path)) << length;
        named += judged(path) == "yes, behind libasan.so.8";
    }
    EXPECT_GT(named, 0);
    EXPECT_LT(named, 64);  // the zero at the dynamic section's end may be missing, little else
}

TEST(TargetBroken, TakesNoNameThatTheFileDoesNotEnd) {
    Folder folder;
    for (bool ended : {true, false}) {
        std::string bytes = make({.interpreter = glibc, .needed = {"libc.so.6"}});
        const std::string name = ended ? std::string("libasan.so.8", 13) : "libasan.so.8";
        const size_t strings = bytes.find("libc.so.6") - 1, dynamic = bytes.size() - 3 * sizeof(Elf64_Dyn);
        put(bytes, dynamic, Elf64_Dyn{DT_NEEDED, {bytes.size() - strings}});
        bytes += name;
        // The one segment reaches to the old end: what a name in the file's tail needs is its start alone.
        EXPECT_EQ(judged(folder.write("image", bytes)), ended ? "yes, behind libasan.so.8" : "yes");
    }
}

TEST(TargetBroken, TakesAnyNumberAnywhereInTheHeaders) {
    Folder folder;
    const std::string whole = make({.interpreter = glibc, .needed = {"libasan.so.8", "libc.so.6"}});
    const std::string path = folder / "image";
    folder.write("image", whole);
    int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    for (size_t at = 16; at + 8 <= whole.size(); at += 4)
        for (uint64_t number : odd_numbers) {
            std::string bytes = whole;
            put(bytes, at, number);
            ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
            EXPECT_TRUE(is_sane(path)) << at << ' ' << number;
        }
    close(fd);
}

TEST(TargetBroken, IsBoundedByWhatTheKernelWouldReadOfHugeTables) {
    Folder folder;
    // More headers than the kernel takes, and a dynamic section without an end.
    std::string bytes = make({.interpreter = glibc, .needed = {"libc.so.6"}});
    put(bytes, offsetof(Elf64_Ehdr, e_phnum), uint16_t{0xffff});
    EXPECT_EQ(judged(folder.write("many", bytes)), "yes");  // refused by the kernel: ENOEXEC

    bytes = make({.interpreter = glibc, .needed = {"libc.so.6"}});
    const size_t dynamic = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
    put(bytes, dynamic + offsetof(Elf64_Phdr, p_offset), uint64_t{1 << 20});
    put(bytes, dynamic + offsetof(Elf64_Phdr, p_filesz), UINT64_MAX);
    const std::string path = folder.write("long", bytes);
    std::string filler;
    for (int i = 0; i < 100000; ++i) put(filler, filler.size(), Elf64_Dyn{DT_DEBUG, {0}});
    std::ofstream(path, std::ios::binary | std::ios::in).seekp(1 << 20) << filler;
    EXPECT_EQ(judged(path), "yes");
}

TEST(TargetBroken, TakesTwentyThousandMutations) {
    int fd = memfd_create("image", MFD_CLOEXEC);
    ASSERT_GE(fd, 0);
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    const char *seed_text = getenv("TASKWATCH_FUZZ_SEED");
    const unsigned seed = seed_text ? unsigned(std::atoi(seed_text)) : 20060601u;
    std::mt19937 random(seed);
    const std::string seeds[] = {
        make({.interpreter = glibc, .needed = {"libasan.so.8", "libc.so.6"}}),
        make({.interpreter = "", .soname = "ld-linux-x86-64.so.2"}),
        make({.interpreter = glibc, .needed = {"libc.so.6"}, .headers_at = 900, .spare_headers = 20}),
        contents("/bin/true").substr(0, 8192),
        "#! " + path + " argument\n",
        "#!/bin/sh\n",
    };
    int answers[2] = {};
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = seeds[random() % std::size(seeds)];
        for (unsigned changes = 1 + random() % 8; changes && !bytes.empty(); --changes) {
            // The first kilobyte is where nearly all is decided.
            const size_t at = random() % (random() % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 1024));
            switch (random() % 5) {
                case 0: bytes[at] = char(random()); break;
                case 1: bytes[at] = char(bytes[at] ^ (1 << random() % 8)); break;
                case 2: bytes.resize(at); break;
                case 3: put(bytes, at, odd_numbers[random() % std::size(odd_numbers)]); break;
                case 4: bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 64)); break;
            }
        }
        ASSERT_EQ(ftruncate(fd, 0), 0);
        ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
        ASSERT_TRUE(is_sane(path)) << "TASKWATCH_FUZZ_SEED=" << seed << ", round " << round;
        ++answers[taskwatch::judge_target({AT_FDCWD, path.c_str(), nullptr, false}).loads_us];
    }
    close(fd);
    EXPECT_GT(answers[0], 200) << "the mutations no longer reach the answers";
    EXPECT_GT(answers[1], 200);
}
