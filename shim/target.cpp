// SPDX-License-Identifier: MIT
// Reads as little as can be: one look at the file's state, one read of its head, and two more for the
// name of the first library it needs. Every number in the file may be a lie; each is checked where it
// is used (TargetWindow), and a lie means "cannot be judged", as the kernel refuses such a file anyway.
#include "target.hpp"

#include <elf.h>
#include <link.h>

#include <cstring>

#include "target_file.hpp"

// The head of the object that this code is in: what an image that loads us has to look like.
extern const ElfW(Ehdr) __ehdr_start [[gnu::visibility("hidden")]];

namespace taskwatch {
namespace {

constexpr const char static_image[] = "static";
constexpr const char secure_execution[] = "secure-execution";

constexpr int script_levels = 5;         // exec_binprm() in the kernel's fs/exec.c
constexpr size_t header_bytes = 65536;   // load_elf_phdrs() takes no more
constexpr size_t dynamic_entries = 512;  // where we stop looking for a library's name
constexpr size_t segments_known = 5;     // PT_LOADs; what is looked for is in the first or second

struct Segment {
    uint64_t address, offset, size;
};

struct Segments {
    Segment interpreter = {}, dynamic = {};
    Segment loaded[segments_known];
    size_t count = 0;

    // Where in the file the byte of this address is; false if nowhere.
    bool find(uint64_t address, uint64_t &ret_offset) const {
        for (size_t i = 0; i < count; ++i) {
            const Segment &segment = loaded[i];
            if (address < segment.address || address - segment.address >= segment.size) continue;
            ret_offset = segment.offset + (address - segment.address);
            return true;
        }
        return false;
    }
};

// False if the kernel would refuse these headers. Out of line: what it needs of the stack is free again
// when the rest is read.
[[gnu::noinline]] bool read_segments(TargetWindow &window, Segments &segments) {
    ElfW(Ehdr) header;
    if (!window.get(0, header)) return false;
    if (header.e_phentsize != sizeof(ElfW(Phdr)) || header.e_phnum == 0) return false;
    if (size_t{header.e_phnum} * sizeof(ElfW(Phdr)) > header_bytes) return false;
    for (size_t i = 0; i < header.e_phnum; ++i) {
        ElfW(Phdr) entry;
        if (!window.get(header.e_phoff + i * sizeof entry, entry)) return false;
        const Segment segment = {entry.p_vaddr, entry.p_offset, entry.p_filesz};
        if (entry.p_type == PT_INTERP && segments.interpreter.size == 0) segments.interpreter = segment;
        if (entry.p_type == PT_DYNAMIC) segments.dynamic = segment;
        if (entry.p_type == PT_LOAD && segments.count < segments_known)
            segments.loaded[segments.count++] = segment;
    }
    return true;
}

// The text of the first dynamic entry with this tag, of at most 47 bytes; null if there is none. Valid until
// the window is used again.
const char *dynamic_text(TargetWindow &window, const Segments &segments, ElfW(Sxword) tag) {
    uint64_t strings = 0, at = 0;
    bool has_strings = false, has_tag = false;
    const size_t entries = segments.dynamic.size / sizeof(ElfW(Dyn));
    for (size_t i = 0; i < entries && i < dynamic_entries && !(has_strings && has_tag); ++i) {
        ElfW(Dyn) entry;
        if (!window.get(segments.dynamic.offset + i * sizeof entry, entry) || entry.d_tag == DT_NULL) break;
        if (entry.d_tag == DT_STRTAB) {
            if (!segments.find(entry.d_un.d_ptr, strings)) return nullptr;
            has_strings = true;
        }
        if (entry.d_tag == tag && !has_tag) {
            at = entry.d_un.d_val;
            has_tag = true;
        }
    }
    if (!has_strings || !has_tag || at > INT64_MAX || strings > INT64_MAX) return nullptr;
    return window.text(strings + at, sizeof Target::first_library);
}

// glibc's loaders of any age; the machine is known to be ours. Not ld-musl-*, ld-uClibc*, linker64.
bool is_glibc_loader(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1);
    return path.starts_with("ld-linux") || path.starts_with("ld-lsb") || path.starts_with("ld-2.") ||
           path.starts_with("ld64.so");
}

// Null if this image will load us (or cannot be judged), otherwise why not. Names the ASan runtime it needs.
// Out of line, as TargetFile::open() is: what the two need of the stack is not needed at the same time.
[[gnu::noinline]] const char *judge_image(TargetWindow &window,
                                          char (&ret_first_library)[sizeof Target::first_library]) {
    // A 32-bit header is shorter than ours, so these first.
    struct {
        unsigned char ident[EI_NIDENT];
        uint16_t type, machine;
    } start;
    if (!window.get(0, start) || std::memcmp(start.ident, ELFMAG, SELFMAG) != 0) return nullptr;
    for (int i : {EI_CLASS, EI_DATA})
        if (start.ident[i] != __ehdr_start.e_ident[i]) return "other class or machine";
    if (start.machine != __ehdr_start.e_machine) return "other class or machine";
    if (start.type != ET_EXEC && start.type != ET_DYN) return nullptr;

    Segments segments;
    if (!read_segments(window, segments)) return nullptr;
    if (segments.interpreter.size == 0) {
        // A dynamic loader run as a program loads us with the program it is given. Nothing but its name
        // tells it from a static position-independent program.
        const char *name = dynamic_text(window, segments, DT_SONAME);
        return name && is_glibc_loader(name) ? nullptr : static_image;
    }
    const size_t length = segments.interpreter.size;
    if (length < 2 || length > script_line) return nullptr;
    const char *loader = window.text(segments.interpreter.offset, length);
    if (!loader) return nullptr;
    if (!is_glibc_loader(loader)) return "other libc";
    const char *library = dynamic_text(window, segments, DT_NEEDED);
    if (library && is_asan_runtime(library))
        std::memcpy(ret_first_library, library, std::strlen(library) + 1);
    return nullptr;
}

// Opened as ld.so will open it: access(2) knows nothing of Landlock and the like.
bool is_reachable(const char *library) {
    if (!library || library[0] != '/' || std::strchr(library, '$')) return true;
    long fd = sys::call(SYS_openat, AT_FDCWD, library, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) sys::call(SYS_close, fd);
    // No descriptor or memory left says nothing about the new image: close-on-exec may free what it needs.
    return fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM;
}

}  // namespace

char *script_interpreter(char *line) {
    if (line[0] != '#' || line[1] != '!') return nullptr;
    char *limit = static_cast<char *>(std::memchr(line, '\n', script_line));
    const bool cut = !limit;
    if (cut) limit = line + script_line - 1;
    char *name = line + 2;
    while (name < limit && (*name == ' ' || *name == '\t')) ++name;
    char *end = name;
    while (end < limit && *end != ' ' && *end != '\t' && *end != '\0') ++end;
    if (end == name) return nullptr;
    if (cut && end == limit && *end != ' ' && *end != '\t' && *end != '\0') return nullptr;
    *end = '\0';
    return name;
}

Target judge_target(const TargetQuery &query) {
    Target target;
    TargetFile file(query.directory, query.path);
    if (!file.is_regular()) return target;
    TargetWindow window(file);
    for (int level = 0; char *interpreter = script_interpreter(window.head(script_line)); ++level) {
        if (level == script_levels) return target;  // ELOOP
        file.open(AT_FDCWD, interpreter);
        if (!file.is_regular()) return target;
    }
    target.reason = judge_image(window, target.first_library);
    if (!target.reason && query.secure && file.starts_secure()) target.reason = secure_execution;
    if (!target.reason && !is_reachable(query.library)) target.reason = "library not reachable";
    target.loads_us = !target.reason;
    target.ignores_preload = target.reason == static_image || target.reason == secure_execution;
    return target;
}

}  // namespace taskwatch
