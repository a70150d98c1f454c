// SPDX-License-Identifier: MIT
// A look-up in the GNU hash tables of the objects behind ours, by name and version.
#include "real.hpp"

#include <elf.h>
#include <link.h>

#include <cstdint>
#include <cstring>

// The loader's list of objects. Weak, so that the link needs ld.so as little as the run does: it is
// there already in every dynamically linked process.
#pragma weak _r_debug

namespace taskwatch::real {
namespace {

struct Tables {
    const ElfW(Sym) *symbols = nullptr;
    const char *strings = nullptr;
    const uint32_t *gnu_hash = nullptr;
    const ElfW(Half) *versions = nullptr;
    const ElfW(Verdef) *definitions = nullptr;
    size_t definition_count = 0;
};

// glibc relocates the addresses in a dynamic section where it can; the vDSO's stay as they are.
template <typename T>
const T *address(const link_map *map, ElfW(Addr) value) {
    return reinterpret_cast<const T *>(value < map->l_addr ? map->l_addr + value : value);
}

Tables tables_of(const link_map *map) {
    Tables t;
    for (const ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
            case DT_SYMTAB: t.symbols = address<ElfW(Sym)>(map, d->d_un.d_ptr); break;
            case DT_STRTAB: t.strings = address<char>(map, d->d_un.d_ptr); break;
            case DT_GNU_HASH: t.gnu_hash = address<uint32_t>(map, d->d_un.d_ptr); break;
            case DT_VERSYM: t.versions = address<ElfW(Half)>(map, d->d_un.d_ptr); break;
            case DT_VERDEF: t.definitions = address<ElfW(Verdef)>(map, d->d_un.d_ptr); break;
            case DT_VERDEFNUM: t.definition_count = d->d_un.d_val; break;
        }
    }
    return t;
}

uint32_t gnu_hash(const char *name) {
    uint32_t h = 5381;
    for (; *name; name++) h = h * 33 + (unsigned char)*name;
    return h;
}

const char *version_name(const Tables &t, unsigned index) {
    auto *d = reinterpret_cast<const char *>(t.definitions);
    for (size_t i = 0; d && i < t.definition_count; i++) {
        auto *definition = reinterpret_cast<const ElfW(Verdef) *>(d);
        if (definition->vd_ndx == index) {
            auto *aux = reinterpret_cast<const ElfW(Verdaux) *>(d + definition->vd_aux);
            return t.strings + aux->vda_name;
        }
        if (definition->vd_next == 0) break;
        d += definition->vd_next;
    }
    return "";
}

// An unversioned object (another preload) matches every version; "" asks for the default one.
bool version_matches(const Tables &t, uint32_t symbol, const char *version) {
    if (!t.versions) return true;
    ElfW(Half) entry = t.versions[symbol];
    if (*version == '\0') return (entry & 0x8000) == 0;
    unsigned index = entry & 0x7fff;
    return index <= 1 || strcmp(version_name(t, index), version) == 0;
}

void *find_in(const link_map *map, const char *name, const char *version, uint32_t hash) {
    Tables t = tables_of(map);
    if (!t.symbols || !t.strings || !t.gnu_hash) return nullptr;
    uint32_t bucket_count = t.gnu_hash[0], first = t.gnu_hash[1], bloom_words = t.gnu_hash[2];
    uint32_t bloom_shift = t.gnu_hash[3];
    auto *bloom = reinterpret_cast<const ElfW(Addr) *>(t.gnu_hash + 4);
    auto *buckets = reinterpret_cast<const uint32_t *>(bloom + bloom_words);
    const uint32_t *chain = buckets + bucket_count;
    constexpr unsigned bits = sizeof(ElfW(Addr)) * 8;
    if (bucket_count == 0 || bloom_words == 0) return nullptr;
    ElfW(Addr) word = bloom[(hash / bits) & (bloom_words - 1)];
    if (!((word >> (hash % bits)) & (word >> ((hash >> bloom_shift) % bits)) & 1)) return nullptr;
    for (uint32_t i = buckets[hash % bucket_count]; i >= first && i != 0; i++) {
        uint32_t entry = chain[i - first];
        if ((entry | 1) == (hash | 1)) {
            const ElfW(Sym) &symbol = t.symbols[i];
            unsigned type = symbol.st_info & 0xf;
            if (symbol.st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_NOTYPE) &&
                strcmp(t.strings + symbol.st_name, name) == 0 && version_matches(t, i, version))
                return reinterpret_cast<void *>(map->l_addr + symbol.st_value);
        }
        if (entry & 1) break;
    }
    return nullptr;
}

const link_map *own_map() {
    if (!&_r_debug) return nullptr;
    const link_map *map = _r_debug.r_map;
    while (map && map->l_ld != _DYNAMIC) map = map->l_next;
    return map;
}

}  // namespace

const char *own_path() {
    const link_map *map = own_map();
    return map ? map->l_name : nullptr;
}

bool in_one_object(const void *a, const void *b) {
    // Objects do not overlap: an address belongs to the last that begins before it.
    const link_map *of_a = nullptr, *of_b = nullptr;
    auto begins_before = [](const link_map *map, const void *address, const link_map *found) {
        return map->l_addr <= reinterpret_cast<ElfW(Addr)>(address) && (!found || map->l_addr > found->l_addr);
    };
    const link_map *map = own_map();
    for (map = map ? map->l_next : nullptr; map; map = map->l_next) {
        if (begins_before(map, a, of_a)) of_a = map;
        if (begins_before(map, b, of_b)) of_b = map;
    }
    return of_a && of_a == of_b;
}

void find_for_children() {
    _exit.get();
    execve.get();
}

void *find(const char *name, const char *version) {
    const link_map *map = own_map();
    uint32_t hash = gnu_hash(name);
    for (map = map ? map->l_next : nullptr; map; map = map->l_next)
        if (void *found = find_in(map, name, version, hash)) return found;
    return nullptr;
}

}  // namespace taskwatch::real
