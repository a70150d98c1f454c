// SPDX-License-Identifier: MIT
// What descendants inherit, and the repaired copy of an environment that is passed to them. How LD_PRELOAD
// is edited: preload_list.hpp.
#include "environment.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "start_data.hpp"
#include "sys.hpp"

namespace taskwatch {
namespace {

constexpr std::string_view preload = "LD_PRELOAD=";
constexpr std::string_view prefix = "TASKWATCH_";
constexpr std::string_view session = "TASKWATCH_SESSION=";
constexpr std::string_view disable = "TASKWATCH_DISABLE=";
constexpr std::string_view quiet = "TASKWATCH_QUIET=";

// ld.so ignores longer entries without a word (its buffer for one has 255 bytes).
constexpr size_t longest_entry = 254;

bool starts_with(const char *entry, std::string_view text) {
    return entry[0] == text[0] && std::strncmp(entry, text.data(), text.size()) == 0;
}

bool is_on(const char *value, bool otherwise) {
    if (!value || !*value) return otherwise;
    return std::strcmp(value, "0") != 0;
}

// "NAME=" of "NAME=value"; empty if there is no '='.
std::string_view name_of(const char *entry) {
    const char *equals = std::strchr(entry, '=');
    return equals ? std::string_view(entry, size_t(equals - entry) + 1) : std::string_view();
}

std::string_view file_name(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1);
    return path;
}

void *map(size_t bytes) {
    long address =
        sys::call(sys::nr_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return address < 0 && address > -4096 ? nullptr : reinterpret_cast<void *>(address);
}

// Memory that is given away piece by piece.
template <size_t size>
struct Pool {
    std::atomic<size_t> used;
    char text[size];

    // Null: no room.
    char *take(size_t length) {
        size_t begin = used.load(std::memory_order_relaxed);
        while (length <= size - begin)
            if (used.compare_exchange_weak(begin, begin + length)) return text + begin;
        return nullptr;
    }
};

// The entry of LD_PRELOAD's `value` with the file name of `library`, unless one is `library` itself.
std::string_view find_alias(std::string_view value, std::string_view library) {
    std::string_view alias;
    while (!value.empty()) {
        std::string_view entry = value.substr(0, value.find_first_of(": "));
        if (entry == library) return {};
        if (alias.empty() && file_name(entry) == file_name(library)) alias = entry;
        value.remove_prefix(entry.size() < value.size() ? entry.size() + 1 : value.size());
    }
    return alias;
}

// LD_PRELOAD as ld.so takes it: the last one.
const char *last_preload(char *const *envp) {
    const char *value = nullptr;
    for (; envp && *envp; ++envp)
        if (starts_with(*envp, preload)) value = *envp + preload.size();
    return value;
}

}  // namespace

const char *environment_value(char *const *envp, const char *name) {
    size_t length = std::strlen(name);
    for (; envp && *envp; ++envp)
        if (std::strncmp(*envp, name, length) == 0 && (*envp)[length] == '=') return *envp + length + 1;
    return nullptr;
}

// A copy of head + tail in memory that lasts as long as the process, or null.
const char *Inheritance::keep(std::string_view head, std::string_view tail) {
    START_BSS static constinit Pool<256> first{};  // what the variables of a launch take, as a rule
    static constinit Pool<2048> more{};
    size_t length = head.size() + tail.size();
    char *to = first.take(length + 1);
    if (!to) to = more.take(length + 1);
    if (!to) to = static_cast<char *>(map(length + 1));
    if (!to) return nullptr;
    std::memcpy(to, head.data(), head.size());
    std::memcpy(to + head.size(), tail.data(), tail.size());
    to[length] = '\0';
    return to;
}

// `head` is "NAME=". Places are only ever filled, never emptied, so readers need no lock.
int Inheritance::put(std::string_view head, std::string_view value, bool replace) {
    const char *text = nullptr;
    for (auto &place : variables_) {
        const char *old = place.load(std::memory_order_acquire);
        if (old && !starts_with(old, head)) continue;
        if (old && (!replace || value == old + head.size())) return 0;
        if (!text && !(text = keep(head, value))) return ENOMEM;
        if (place.compare_exchange_strong(old, text)) return 0;
        // Another thread was faster: with this name (its value is as new as ours), or with another one.
        if (starts_with(old, head)) return 0;
    }
    return ENOMEM;
}

int Inheritance::set(const char *name, const char *value) {
    char head[64];
    size_t length = std::strlen(name);
    if (length + 2 > sizeof head) return ENOMEM;
    std::memcpy(head, name, length);
    head[length] = '=';
    return put({head, length + 1}, value, true);
}

int Inheritance::set_session(const char *value) { return put(session, value, true); }

int Inheritance::capture(char *const *envp, const char *library) {
    int error = 0;
    for (char *const *p = envp; p && *p; ++p) {
        std::string_view name = starts_with(*p, prefix) ? name_of(*p) : std::string_view();
        if (name.empty() || name == session || name == disable) continue;
        if (put(name, *p + name.size(), false) != 0) error = ENOMEM;
    }
    if (!library) return error;
    size_t length = std::strcspn(library, ": ");
    if (library[length] != '\0' || length > longest_entry) return EINVAL;
    const char *value = last_preload(envp);
    // As a rule it is us and nothing else.
    std::string_view alias = value && std::strcmp(value, library) != 0 ? find_alias(value, library) : std::string_view();
    if (!alias.empty()) names_.alias = keep(alias, "");
    names_.alias_is_right = alias.find('/') == alias.npos || alias[0] == '/' || alias[0] == '$';
    names_.library = library;
    return alias.empty() || names_.alias ? error : ENOMEM;
}

// Goes through an environment once for its measures and once to write it. Both runs take the same
// decisions, but a thread may change the environment between them: writing never exceeds its measures.
class PassedEnvironment::Draft {
  public:
    Draft(char *const *envp, const Inheritance &inheritance, Repair repair, std::string_view first_library)
        : envp_(envp), inheritance_(inheritance), repair_(repair), first_library_(first_library) {}

    // False if this environment is not to be touched.
    bool look_over();
    void run();
    bool changed() const { return changed_; }
    size_t bytes() const { return pointers_ * sizeof(char *) + text_; }
    // Writes to bytes() of memory. Null if the environment has grown.
    char *const *write(void *memory);

  private:
    void keep(const char *entry) {
        if (out_ && pointers_ < room_) out_[pointers_] = entry;
        ++pointers_;
    }
    void replace(const char *entry) {
        changed_ = true;
        keep(entry);
    }
    void edit_preload_entry(const char *entry, bool is_last);
    void pass_variable(const char *entry);

    char *const *envp_;
    const Inheritance &inheritance_;
    Repair repair_;
    std::string_view first_library_;
    char *const *last_preload_ = nullptr;
    bool several_preloads_ = false;

    bool changed_ = false;
    size_t pointers_ = 0, text_ = 0;
    uint32_t seen_ = 0;  // bit i: the program passes variable i itself
    static_assert(Inheritance::max_variables <= 32);

    const char **out_ = nullptr;
    size_t room_ = 0;
    char *text_out_ = nullptr;
    size_t text_room_ = 0;
};

bool PassedEnvironment::Draft::look_over() {
    const char *disabled = nullptr;
    for (char *const *p = envp_; p && *p; ++p) {
        if (starts_with(*p, preload)) {
            several_preloads_ = last_preload_ != nullptr;
            last_preload_ = p;
        } else if (!disabled && starts_with(*p, disable)) {
            disabled = *p + disable.size();
        }
    }
    return !is_on(disabled, false);
}

void PassedEnvironment::Draft::run() {
    changed_ = false;
    pointers_ = text_ = 0;
    seen_ = 0;
    for (char *const *p = envp_; p && *p; ++p) {
        if (starts_with(*p, preload))
            edit_preload_entry(*p, p == last_preload_);
        else if (starts_with(*p, prefix))
            pass_variable(*p);
        else
            keep(*p);
    }
    if (repair_ == Repair::follow) {
        if (!last_preload_) edit_preload_entry(preload.data(), true);
        for (size_t i = 0; i < Inheritance::max_variables && inheritance_.variable(i); ++i)
            if (!(seen_ >> i & 1)) replace(inheritance_.variable(i));
    }
    keep(nullptr);
}

// One LD_PRELOAD. We are named in the one that ld.so obeys, and taken out of all: a program may hand on
// another one than ld.so took.
void PassedEnvironment::Draft::edit_preload_entry(const char *entry, bool is_last) {
    const bool include = repair_ == Repair::follow;
    if (include && !is_last) return keep(entry);
    const char *value = entry + preload.size();
    char *to = text_out_ && text_ + preload.size() < text_room_ ? text_out_ + text_ : nullptr;
    PreloadResult result = edit_preload(
        value, inheritance_.names_, include ? PreloadEdit::include : PreloadEdit::exclude, first_library_,
        to ? to + preload.size() : nullptr, to ? text_room_ - text_ - preload.size() : 0);
    if (result.same && last_preload_) return keep(entry);
    changed_ = true;
    if (result.length == 0) {
        // Without the last one ld.so would obey an earlier one.
        if (is_last && several_preloads_) keep(preload.data());
        return;
    }
    size_t length = preload.size() + result.length + 1;
    if (to && length <= text_room_ - text_) {
        std::memcpy(to, preload.data(), preload.size());
        to[length - 1] = '\0';
    }
    keep(to);
    text_ += length;
}

void PassedEnvironment::Draft::pass_variable(const char *entry) {
    const bool is_session = starts_with(entry, session);
    if (repair_ == Repair::take_out && is_session) {
        changed_ = true;
        return;
    }
    const std::string_view name = repair_ == Repair::follow ? name_of(entry) : std::string_view();
    if (name.empty()) return keep(entry);
    for (size_t i = 0; i < Inheritance::max_variables; ++i) {
        const char *own = inheritance_.variable(i);
        if (!own) break;
        if (!starts_with(own, name)) continue;
        seen_ |= uint32_t{1} << i;
        if (is_session && std::strcmp(own, entry) != 0) return replace(own);
        break;
    }
    keep(entry);
}

char *const *PassedEnvironment::Draft::write(void *memory) {
    out_ = static_cast<const char **>(memory);
    room_ = pointers_;
    text_out_ = static_cast<char *>(memory) + pointers_ * sizeof(char *);
    text_room_ = text_;
    run();
    if (pointers_ > room_ || text_ > text_room_) return nullptr;
    return const_cast<char *const *>(out_);
}

PassedEnvironment::PassedEnvironment(char *const *envp, const Inheritance &inheritance, Repair repair,
                                     const char *first_library)
    : original_(envp), result_(envp) {
    if (!inheritance.library()) return;
    Draft draft(envp, inheritance, repair, first_library ? first_library : "");
    if (!draft.look_over()) return;
    draft.run();
    if (!draft.changed()) return;
    void *memory = inline_;
    if (draft.bytes() > inline_bytes) {
        for (size_t i = 0; i < Inheritance::max_variables && inheritance.variable(i); ++i)
            if (starts_with(inheritance.variable(i), quiet) &&
                is_on(inheritance.variable(i) + quiet.size(), false))
                return;
        mapped_ = draft.bytes();
        if (!(mapping_ = map(mapped_))) return;
        memory = mapping_;
    }
    if (char *const *copy = draft.write(memory)) result_ = copy;
}

PassedEnvironment::~PassedEnvironment() {
    if (mapping_) sys::call(SYS_munmap, mapping_, mapped_);
}

}  // namespace taskwatch
