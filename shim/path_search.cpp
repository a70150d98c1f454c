// SPDX-License-Identifier: MIT
// The search as glibc 2.24 and later do it (posix/execvpe.c), its oddities included: a program must
// find the same file with us and without. Only the memory comes from elsewhere: glibc takes all it
// needs from the stack, we may run on what little of it the caller left (R10).
#include "path_search.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "sys.hpp"

namespace taskwatch {

namespace {

constexpr const char *default_path = "/bin:/usr/bin";  // confstr(_CS_PATH); execvp(3)
constexpr char shell[] = "/bin/sh";
constexpr size_t candidate_on_stack = 256;
constexpr size_t entries_on_stack = 16;

// The file is missing here, or not for us to run: look in the next folder. Any other error means that
// this was the file and that it cannot be run. The last two are what odd network file systems say.
bool goes_on_after(int error) {
    switch (error) {
        case EACCES:
        case ENOENT:
        case ESTALE:
        case ENOTDIR:
        case ENODEV:
        case ETIMEDOUT: return true;
        default: return false;
    }
}

int run(const PathSearch &search, const char *candidate, PathMemory &memory) {
    int error = search.exec(search.context, candidate, search.argv, search.envp);
    if (error == ENOEXEC && search.shell_fallback) error = run_by_shell(search, candidate, memory);
    return error;
}

// The elements of PATH, one after the other.
class Elements {
  public:
    explicit Elements(const char *path) : next_(path), limit_(strnlen(path, PATH_MAX - 1) + 1) {}

    // False at the end. An empty element means the current folder.
    bool next(const char *&ret_begin, size_t &ret_length) {
        if (!next_) return false;
        const char *end = strchrnul(next_, ':');
        ret_begin = next_;
        ret_length = size_t(end - next_);
        next_ = *end ? end + 1 : nullptr;
        if (ret_length < limit_) return true;
        // Longer than any path can be. glibc gives up at the last element; at another one it goes on from
        // the colon instead of behind it, and thus looks into the current folder.
        if (!*end) return false;
        ret_length = 0;
        return true;
    }

  private:
    const char *next_;
    size_t limit_;
};

int search_elements(const PathSearch &search, PathMemory &memory) {
    char on_stack[candidate_on_stack];
    // One byte more than a name can have: the kernel then says ENAMETOOLONG where there is a folder.
    const size_t file_length = strnlen(search.file, NAME_MAX + 1);
    Elements elements(search.path ? search.path : default_path);
    const char *element;
    size_t length;
    bool denied = false;
    int error = ENOENT;
    while (elements.next(element, length)) {
        char *candidate = on_stack;
        if (length + 1 + file_length + 1 > sizeof on_stack) candidate = memory.candidate();
        if (!candidate) return ENOMEM;
        memcpy(candidate, element, length);
        if (length) candidate[length++] = '/';
        memcpy(candidate + length, search.file, file_length);
        candidate[length + file_length] = '\0';
        error = run(search, candidate, memory);
        if (!goes_on_after(error)) return error;
        denied |= error == EACCES;
    }
    return denied ? EACCES : error;  // "there is one but you may not" says more than "there is none"
}

}  // namespace

void *PathMemory::map(Mapping &mapping, size_t bytes) {
    if (mapping.address) return mapping.address;
    constexpr int access = PROT_READ | PROT_WRITE, kind = MAP_PRIVATE | MAP_ANONYMOUS;
    long address = sys::call(sys::nr_mmap, nullptr, bytes, access, kind, -1, 0);
    if (address < 0 && address > -4096) return nullptr;
    mapping = {reinterpret_cast<void *>(address), bytes};
    return mapping.address;
}

void PathMemory::unmap(Mapping &mapping) {
    if (mapping.address) sys::call(SYS_munmap, mapping.address, mapping.bytes);
    mapping = {};
}

char *PathMemory::candidate() { return static_cast<char *>(map(candidate_, PATH_MAX + 1 + NAME_MAX + 2)); }

char **PathMemory::vector(size_t entries) {
    return static_cast<char **>(map(vector_, entries * sizeof(char *)));
}

void PathMemory::release() {
    unmap(candidate_);
    unmap(vector_);
}

int run_by_shell(const PathSearch &search, const char *script, PathMemory &memory) {
    char *on_stack[entries_on_stack];
    size_t count = 0;
    while (search.argv && search.argv[count]) count++;
    const size_t arguments = count > 1 ? count - 1 : 0;
    char **vector = arguments + 3 <= entries_on_stack ? on_stack : memory.vector(arguments + 3);
    if (!vector) return ENOMEM;
    vector[0] = const_cast<char *>(shell);
    vector[1] = const_cast<char *>(script);
    if (arguments) memcpy(vector + 2, search.argv + 1, arguments * sizeof *vector);
    vector[2 + arguments] = nullptr;
    return search.exec(search.context, shell, vector, search.envp);
}

int path_search(const PathSearch &search) {
    if (!*search.file) return ENOENT;
    PathMemory own;
    PathMemory &memory = search.memory ? *search.memory : own;
    int error = strchr(search.file, '/') ? run(search, search.file, memory) : search_elements(search, memory);
    own.release();
    return error;
}

const char *current_path() {
    for (char **entry = environ; entry && *entry; entry++)
        if (!strncmp(*entry, "PATH=", 5)) return *entry + 5;
    return nullptr;
}

}  // namespace taskwatch
