// SPDX-License-Identifier: MIT
#include "program_file.hpp"

#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "target.hpp"

namespace taskwatch {
namespace {

std::string machine_name(const GElf_Ehdr &header) {
    switch (header.e_machine) {
    case EM_X86_64: return header.e_ident[EI_CLASS] == ELFCLASS32 ? "x32" : "x86-64";
    case EM_386: return "i386";
    case EM_AARCH64: return "arm64";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv";
    case EM_PPC64: return "ppc64";
    case EM_S390: return "s390";
    default: return "machine " + std::to_string(header.e_machine);
    }
}

// By the name of a runtime that it needs, or by the function that its own code calls in any runtime.
struct Sanitizer {
    const char *name, *library, *clang_library, *function;
};
constexpr Sanitizer sanitizers[] = {
    {"AddressSanitizer", "libasan.so", "libclang_rt.asan", "__asan_init"},
    {"HWAddressSanitizer", "libhwasan.so", "libclang_rt.hwasan", "__hwasan_init"},
    {"ThreadSanitizer", "libtsan.so", "libclang_rt.tsan", "__tsan_init"},
    {"MemorySanitizer", "libmsan.so", "libclang_rt.msan", "__msan_init"},
    {"LeakSanitizer", "liblsan.so", "libclang_rt.lsan", "__lsan_init"},
    {"UndefinedBehaviorSanitizer", "libubsan.so", "libclang_rt.ubsan", "(the others' runtimes have its functions)"},
};

void note_library(std::string_view name, ProgramFile &file) {
    for (const Sanitizer &s : sanitizers)
        if (file.sanitizer.empty() && (name.starts_with(s.library) || name.starts_with(s.clang_library)))
            file.sanitizer = s.name;
}

void note_function(std::string_view name, ProgramFile &file) {
    for (const Sanitizer &s : sanitizers)
        if (file.sanitizer.empty() && name == s.function) file.sanitizer = s.name;
}

// Every number in the file may be a lie: libelf checks it against the file's size and answers null.
class Image {
  public:
    explicit Image(int fd) : elf_(elf_version(EV_CURRENT) == EV_NONE ? nullptr : elf_begin(fd, ELF_C_READ, nullptr)) {}
    ~Image() { elf_end(elf_); }
    Image(const Image &) = delete;
    Image &operator=(const Image &) = delete;

    void read(ProgramFile &file) {
        GElf_Ehdr header;
        file.kind = ProgramFile::Kind::other_elf;
        if (!gelf_getehdr(elf_, &header) || (header.e_type != ET_EXEC && header.e_type != ET_DYN)) return;
        file.kind = ProgramFile::Kind::program;
        file.bits = header.e_ident[EI_CLASS] == ELFCLASS32 ? 32 : 64;
        file.machine = machine_name(header);
        read_segments(file);
        read_sections(file);
    }

  private:
    void read_segments(ProgramFile &file) {
        size_t count = 0;
        if (elf_getphdrnum(elf_, &count) != 0) return;
        GElf_Phdr segment;
        for (size_t i = 0; i < count && gelf_getphdr(elf_, (int)i, &segment); i++) {
            if (segment.p_type == PT_INTERP) file.loader = text(segment.p_offset, segment.p_filesz);
            if (segment.p_type == PT_NOTE) read_notes(segment, file);
        }
    }

    std::string text(uint64_t offset, uint64_t size) {
        Elf_Data *data = elf_getdata_rawchunk(elf_, (int64_t)offset, size, ELF_T_BYTE);
        if (!data) return "";
        const char *from = static_cast<const char *>(data->d_buf);
        return {from, strnlen(from, data->d_size)};
    }

    void read_notes(const GElf_Phdr &segment, ProgramFile &file) {
        constexpr unsigned go_build_id = 4;
        Elf_Data *data = elf_getdata_rawchunk(elf_, (int64_t)segment.p_offset, segment.p_filesz, ELF_T_NHDR);
        GElf_Nhdr note;
        size_t name, content;
        for (size_t at = 0; data && (at = gelf_getnote(data, at, &note, &name, &content)) > 0;) {
            std::string_view owner{static_cast<const char *>(data->d_buf) + name, note.n_namesz};
            if (note.n_type == go_build_id && owner == std::string_view("Go\0\0", 4)) file.go = true;
        }
    }

    void read_sections(ProgramFile &file) {
        GElf_Shdr header;
        for (Elf_Scn *section = nullptr; (section = elf_nextscn(elf_, section));) {
            if (!gelf_getshdr(section, &header)) return;
            if (header.sh_type == SHT_DYNAMIC) read_needed(section, header.sh_link, file);
            if (header.sh_type == SHT_DYNSYM) read_functions(section, header.sh_link, file);
        }
    }

    void read_needed(Elf_Scn *section, size_t strings, ProgramFile &file) {
        Elf_Data *data = elf_getdata(section, nullptr);
        GElf_Dyn entry;
        for (int i = 0; data && gelf_getdyn(data, i, &entry); i++)
            if (const char *name; entry.d_tag == DT_NEEDED && (name = elf_strptr(elf_, strings, entry.d_un.d_val)))
                note_library(name, file);
    }

    void read_functions(Elf_Scn *section, size_t strings, ProgramFile &file) {
        Elf_Data *data = elf_getdata(section, nullptr);
        GElf_Sym symbol;
        for (int i = 0; data && gelf_getsym(data, i, &symbol); i++)
            if (const char *name = elf_strptr(elf_, strings, symbol.st_name)) note_function(name, file);
    }

    Elf *elf_;
};

void read_script(const char (&head)[script_line], ProgramFile &file) {
    char line[script_line];
    std::memcpy(line, head, sizeof line);
    const char *name = script_interpreter(line);
    file.kind = name ? ProgramFile::Kind::script : ProgramFile::Kind::text;
    if (!name) return;
    file.interpreter = name;
    std::string_view rest{head, strnlen(head, sizeof head)};
    rest = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), size_t(name - line) + file.interpreter.size()));
    constexpr const char *blanks = " \t";
    if (size_t begin = rest.find_first_not_of(blanks); begin != rest.npos)
        file.argument = rest.substr(begin, rest.find_last_not_of(blanks) + 1 - begin);
}

void read_mode(const std::string &path, const struct stat &state, ProgramFile &file) {
    file.set_user_id = state.st_mode & S_ISUID;
    // Without execution for the group it meant locking.
    file.set_group_id = (state.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
    file.capabilities = getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
    const passwd *user = getpwuid(state.st_uid);
    const struct group *group = getgrgid(state.st_gid);
    file.owner = user ? user->pw_name : std::to_string(state.st_uid);
    file.group = group ? group->gr_name : std::to_string(state.st_gid);
}

}  // namespace

ProgramFile read_program_file(const std::string &path) {
    ProgramFile file;
    struct stat state;
    if (stat(path.c_str(), &state) != 0) {
        file.error = errno;
        return file;
    }
    if (!S_ISREG(state.st_mode)) {
        file.error = S_ISDIR(state.st_mode) ? EISDIR : EACCES;
        return file;
    }
    read_mode(path, state, file);
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        file.kind = ProgramFile::Kind::unreadable;
        file.error = errno;
        return file;
    }
    char head[script_line] = {};
    if (pread(fd, head, sizeof head, 0) >= SELFMAG && std::memcmp(head, ELFMAG, SELFMAG) == 0)
        Image(fd).read(file);
    else
        read_script(head, file);
    close(fd);
    return file;
}

}  // namespace taskwatch
