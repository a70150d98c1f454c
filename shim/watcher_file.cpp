// SPDX-License-Identifier: MIT
// Reads a few hundred bytes of an ELF file with pread(2), bounds checked. Not mapped: a file that
// somebody truncates meanwhile would kill the program with SIGBUS. See elf(5); the two hash tables are
// those of the System V ABI and of GNU ld.
#include "watcher_file.hpp"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>

#include <cstring>

#include "sys.hpp"

namespace taskwatch {

namespace {

constexpr char symbol[] = "taskwatch_watcher";

#if defined(__x86_64__)
constexpr unsigned native_machine = EM_X86_64;
#elif defined(__i386__)
constexpr unsigned native_machine = EM_386;
#elif defined(__aarch64__)
constexpr unsigned native_machine = EM_AARCH64;
#endif
constexpr unsigned native_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
constexpr unsigned native_data = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

// More headers, table entries or chain links than any real file has: the search is given up then, so
// that a damaged table cannot hold up a program's start.
constexpr unsigned max_headers = 64;
constexpr unsigned max_links = 4096;

// The first page is read at once: a small watcher has its headers, hash table, symbols and names there.
class File {
  public:
    File(int fd, uint64_t size) : fd_(fd), size_(size) {
        long got = sys::call(SYS_pread64, fd_, window_, sizeof window_, 0L);
        if (got < 0)
            error_ = int(-got);
        else
            filled_ = size_t(got);
    }
    int error() const { return error_; }
    uint64_t size() const { return size_; }

    // False if the file has no such bytes.
    [[nodiscard]] bool read(uint64_t offset, void *to, size_t length) const {
        if (offset > size_ || length > size_ - offset) return false;
        if (offset + length <= filled_) {
            memcpy(to, window_ + offset, length);
            return true;
        }
        return sys::call(SYS_pread64, fd_, to, length, offset) == long(length);
    }

    template <typename T>
    [[nodiscard]] bool read(uint64_t offset, T &to) const {
        return read(offset, &to, sizeof to);
    }

  private:
    int fd_;
    int error_ = 0;
    uint64_t size_;
    size_t filled_ = 0;
    char window_[4096];
};

// The file as it will lie in memory: addresses are relative to where it is loaded.
class Image {
  public:
    Image(const File &file, const ElfW(Ehdr) & header) : file_(file), header_(header) {}

    [[nodiscard]] bool segment(unsigned n, ElfW(Phdr) & ret_segment) const {
        return n < header_.e_phnum && n < max_headers &&
               file_.read(header_.e_phoff + uint64_t{n} * sizeof ret_segment, ret_segment);
    }

    // What the loader will find at `address`, before relocation.
    [[nodiscard]] bool read(uint64_t address, void *to, size_t length) const {
        ElfW(Phdr) part;
        for (unsigned n = 0; segment(n, part); n++) {
            if (part.p_type != PT_LOAD || address < part.p_vaddr) continue;
            uint64_t within = address - part.p_vaddr;
            if (within <= part.p_filesz && length <= part.p_filesz - within)
                return file_.read(part.p_offset + within, to, length);
        }
        return false;
    }

    template <typename T>
    [[nodiscard]] bool read(uint64_t address, T &to) const {
        return read(address, &to, sizeof to);
    }

  private:
    const File &file_;
    const ElfW(Ehdr) & header_;
};

struct Tables {
    uint64_t symbols = 0, names = 0, gnu_hash = 0, hash = 0;
};

[[nodiscard]] bool find_tables(const File &file, const Image &image, Tables &ret_tables) {
    ElfW(Phdr) part;
    unsigned n = 0;
    while (image.segment(n, part) && part.p_type != PT_DYNAMIC) n++;
    if (!image.segment(n, part)) return false;

    ElfW(Dyn) entries[16];
    for (uint64_t at = 0; at < part.p_filesz && at < max_links; at += sizeof entries) {
        size_t length = part.p_filesz - at < sizeof entries ? part.p_filesz - at : sizeof entries;
        if (!file.read(part.p_offset + at, entries, length)) return false;
        for (size_t i = 0; i < length / sizeof entries[0]; i++) {
            uint64_t value = entries[i].d_un.d_ptr;
            switch (entries[i].d_tag) {
            case DT_SYMTAB: ret_tables.symbols = value; break;
            case DT_STRTAB: ret_tables.names = value; break;
            case DT_GNU_HASH: ret_tables.gnu_hash = value; break;
            case DT_HASH: ret_tables.hash = value; break;
            case DT_NULL: return ret_tables.symbols && ret_tables.names;
            }
        }
    }
    return false;
}

// Symbol number `index` if it defines our symbol.
[[nodiscard]] bool defines_symbol(const Image &image, const Tables &tables, uint32_t index,
                                  ElfW(Sym) & ret_symbol) {
    char name[sizeof symbol];
    return image.read(tables.symbols + uint64_t{index} * sizeof ret_symbol, ret_symbol) &&
           ret_symbol.st_shndx != SHN_UNDEF && image.read(tables.names + ret_symbol.st_name, name) &&
           memcmp(name, symbol, sizeof symbol) == 0;
}

using Descriptor = WatcherFile::Descriptor;

Descriptor search_gnu_hash(const Image &image, const Tables &tables, ElfW(Sym) & ret_symbol) {
    struct {
        uint32_t buckets, first_symbol, bloom_words, bloom_shift;
    } header;
    if (!image.read(tables.gnu_hash, header) || header.buckets == 0) return Descriptor::unknown;

    uint32_t hash = 5381;
    for (const char *c = symbol; *c; c++) hash = hash * 33 + uint8_t(*c);

    uint64_t buckets = tables.gnu_hash + sizeof header + uint64_t{header.bloom_words} * sizeof(ElfW(Addr));
    uint64_t links = buckets + uint64_t{header.buckets} * 4;
    uint32_t index;
    if (!image.read(buckets + hash % header.buckets * uint64_t{4}, index)) return Descriptor::unknown;
    if (index == 0) return Descriptor::none;
    if (index < header.first_symbol) return Descriptor::unknown;

    for (unsigned n = 0; n < max_links; n++, index++) {
        uint32_t link;
        if (!image.read(links + uint64_t{index - header.first_symbol} * 4, link)) return Descriptor::unknown;
        if ((link | 1) == (hash | 1) && defines_symbol(image, tables, index, ret_symbol))
            return Descriptor::found;
        if (link & 1) return Descriptor::none;  // the last of its bucket
    }
    return Descriptor::unknown;
}

Descriptor search_hash(const Image &image, const Tables &tables, ElfW(Sym) & ret_symbol) {
    struct {
        uint32_t buckets, links;
    } header;
    if (!image.read(tables.hash, header) || header.buckets == 0) return Descriptor::unknown;

    uint32_t hash = 0;
    for (const char *c = symbol; *c; c++) {
        hash = (hash << 4) + uint8_t(*c);
        uint32_t high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    uint64_t buckets = tables.hash + sizeof header, links = buckets + uint64_t{header.buckets} * 4;
    uint32_t index;
    if (!image.read(buckets + hash % header.buckets * uint64_t{4}, index)) return Descriptor::unknown;

    for (unsigned n = 0; n < max_links; n++) {
        if (index == 0) return Descriptor::none;
        if (defines_symbol(image, tables, index, ret_symbol)) return Descriptor::found;
        if (!image.read(links + uint64_t{index} * 4, index)) return Descriptor::unknown;
    }
    return Descriptor::unknown;
}

void read_descriptor(const File &file, const ElfW(Ehdr) & header, WatcherFile &ret_file) {
    Image image(file, header);
    Tables tables;
    if (!find_tables(file, image, tables)) return;

    ElfW(Sym) found;
    Descriptor answer = tables.gnu_hash ? search_gnu_hash(image, tables, found)
                        : tables.hash   ? search_hash(image, tables, found)
                                        : Descriptor::unknown;
    // The two numbers come first in the struct and need no relocation, so the file has their true values.
    uint32_t numbers[2];
    if (answer == Descriptor::found) {
        if (!image.read(found.st_value, numbers)) return;
        ret_file.abi_version = numbers[0];
        ret_file.size = numbers[1];
    }
    ret_file.descriptor = answer;
}

const char *find_fault(const File &file, ElfW(Ehdr) & ret_header) {
    if (!file.read(0, ret_header.e_ident) || memcmp(ret_header.e_ident, ELFMAG, SELFMAG) != 0)
        return "not an ELF file; a watcher is a shared object";
    if (ret_header.e_ident[EI_CLASS] != native_class)
        return native_class == ELFCLASS64 ? "a 32-bit ELF file; this process needs a 64-bit one"
                                          : "a 64-bit ELF file; this process needs a 32-bit one";
    if (!file.read(0, ret_header)) return "a truncated ELF file; build it anew";
    if (ret_header.e_ident[EI_DATA] != native_data || ret_header.e_machine != native_machine)
        return "an ELF file for another machine; build it for this one";
    if (ret_header.e_type != ET_DYN) return "not a shared object; link it with -shared";

    // The dynamic linker maps what the headers promise and touches it: past the end of the file that
    // is a SIGBUS in the program.
    ElfW(Phdr) part;
    Image image(file, ret_header);
    for (unsigned n = 0; n < ret_header.e_phnum && n < max_headers; n++)
        if (!image.segment(n, part) ||
            (part.p_type == PT_LOAD &&
             (part.p_offset > file.size() || part.p_filesz > file.size() - part.p_offset)))
            return "a truncated ELF file; build it anew";
    return nullptr;
}

}  // namespace

int inspect_watcher(const char *path, WatcherFile &ret_file) {
    // O_NONBLOCK: opening a pipe without a writer would wait for ever.
    long fd = sys::call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);
    if (fd < 0) return int(-fd);

    int error = 0;
    struct stat status;
    long result = sys::call(sys::nr_fstatat, fd, "", &status, AT_EMPTY_PATH);
    if (result < 0) {
        error = int(-result);
    } else if (!S_ISREG(status.st_mode)) {
        ret_file.unfit = "not a regular file; a watcher is a shared object";
    } else {
        ret_file.dev = status.st_dev;
        ret_file.ino = status.st_ino;
        File file(int(fd), uint64_t(status.st_size));
        ElfW(Ehdr) header;
        error = file.error();
        if (error == 0) {
            ret_file.unfit = find_fault(file, header);
            if (ret_file.unfit == nullptr) read_descriptor(file, header, ret_file);
        }
    }
    sys::call(SYS_close, fd);
    return error;
}

}  // namespace taskwatch
