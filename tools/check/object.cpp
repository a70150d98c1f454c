// SPDX-License-Identifier: MIT
#include "object.hpp"

#include <fcntl.h>
#include <gelf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace taskwatch {
namespace {

constexpr std::string_view unsafe_names[] = {
#define CALL(name, kind) #name,
#include "unsafe_calls.def"
#undef CALL
};

struct File {
    int fd = -1;
    Elf *elf = nullptr;
    ~File() {
        if (elf) elf_end(elf);
        if (fd >= 0) close(fd);
    }
};

void read_dynamic(Elf *elf, const GElf_Shdr &header, Elf_Data *data, WatcherObject &object) {
    GElf_Dyn entry;
    for (int i = 0; gelf_getdyn(data, i, &entry); i++) {
        switch (entry.d_tag) {
        case DT_NEEDED:
            if (const char *name = elf_strptr(elf, header.sh_link, entry.d_un.d_val)) object.needed.emplace_back(name);
            break;
        case DT_BIND_NOW: object.bound_at_once = true; break;
        case DT_TEXTREL: object.text_relocations = true; break;
        case DT_FLAGS:
            object.bound_at_once |= (entry.d_un.d_val & DF_BIND_NOW) != 0;
            object.text_relocations |= (entry.d_un.d_val & DF_TEXTREL) != 0;
            break;
        case DT_FLAGS_1: object.bound_at_once |= (entry.d_un.d_val & DF_1_NOW) != 0; break;
        }
    }
}

void read_symbols(Elf *elf, const GElf_Shdr &header, Elf_Data *data, WatcherObject &object) {
    GElf_Sym symbol;
    for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
        const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);
        if (symbol.st_shndx != SHN_UNDEF || !name) continue;
        if (std::find(std::begin(unsafe_names), std::end(unsafe_names), name) != std::end(unsafe_names))
            object.unsafe.emplace_back(name);
    }
}

}  // namespace

WatcherObject read_watcher_object(const std::string &path) {
    WatcherObject object;
    File file;
    file.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file.fd < 0) {
        object.error = std::strerror(errno);
        return object;
    }
    elf_version(EV_CURRENT);
    file.elf = elf_begin(file.fd, ELF_C_READ, nullptr);
    GElf_Ehdr header;
    if (!file.elf || elf_kind(file.elf) != ELF_K_ELF || !gelf_getehdr(file.elf, &header) || header.e_type != ET_DYN) {
        object.error = "not a shared object";
        return object;
    }
    for (Elf_Scn *section = nullptr; (section = elf_nextscn(file.elf, section));) {
        GElf_Shdr its;
        Elf_Data *data = gelf_getshdr(section, &its) ? elf_getdata(section, nullptr) : nullptr;
        if (data && its.sh_type == SHT_DYNAMIC) read_dynamic(file.elf, its, data, object);
        if (data && its.sh_type == SHT_DYNSYM) read_symbols(file.elf, its, data, object);
    }
    size_t count = 0;
    elf_getphdrnum(file.elf, &count);
    GElf_Phdr segment;
    for (size_t i = 0; i < count && gelf_getphdr(file.elf, int(i), &segment); i++)
        object.executable_stack |= segment.p_type == PT_GNU_STACK && (segment.p_flags & PF_X);
    return object;
}

}  // namespace taskwatch
