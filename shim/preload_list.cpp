// SPDX-License-Identifier: MIT
// One pass finds where we belong, a second writes the list. Writing compares with the old value as it goes:
// a list that is right comes out the same, and nobody needs a separate notion of "right".
#include "preload_list.hpp"

#include "target.hpp"

namespace taskwatch {
namespace {

constexpr std::string_view separators = ": ";
constexpr std::string_view mark = "::";  // between an ASan runtime of our naming and us

enum class Kind { foreign, us, named_for_us };

struct Entry {
    std::string_view gap;   // the separators before it
    std::string_view text;  // empty: the end of the list, `gap` is what follows the last entry
    Kind kind = Kind::foreign;
    size_t index = 0;
};

class Entries {
  public:
    Entries(std::string_view value, const PreloadNames &names) : rest_(value), names_(names) {}

    Entry next() {
        Entry entry;
        entry.index = index_++;
        entry.gap = take(length_of_gap(rest_));
        entry.text = take(length_of_name(rest_));
        if (names_.is_us(entry.text))
            entry.kind = Kind::us;
        else if (is_asan_runtime(entry.text) && we_follow_a_mark())
            entry.kind = Kind::named_for_us;
        return entry;
    }

  private:
    static size_t length_of_gap(std::string_view s) {
        size_t n = s.find_first_not_of(separators);
        return n == s.npos ? s.size() : n;
    }
    static size_t length_of_name(std::string_view s) {
        size_t n = s.find_first_of(separators);
        return n == s.npos ? s.size() : n;
    }
    std::string_view take(size_t length) {
        std::string_view taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }
    bool we_follow_a_mark() const {
        if (!rest_.starts_with(mark)) return false;
        std::string_view next = rest_;
        next.remove_prefix(mark.size());
        return names_.is_us(next.substr(0, length_of_name(next)));
    }

    std::string_view rest_;
    const PreloadNames &names_;
    size_t index_ = 0;
};

// Where we go.
struct Place {
    bool in_front = false;  // before all entries
    bool behind = false;    // behind entry `index`, otherwise instead of it
    size_t index = SIZE_MAX;
    bool asan_before = false;  // an ASan runtime of the user's stands before that place
};

Place find_place(std::string_view value, const PreloadNames &names) {
    Place place;
    bool first_is_asan = false, seen_foreign = false;
    size_t first_foreign = 0;
    Entries entries(value, names);
    for (Entry entry = entries.next(); !entry.text.empty(); entry = entries.next()) {
        bool counts =
            entry.kind == Kind::us && (place.index == SIZE_MAX || (first_is_asan && !place.asan_before));
        if (counts) {
            place.index = entry.index;
            place.asan_before = first_is_asan;
        }
        if (entry.kind == Kind::foreign && !seen_foreign) {
            seen_foreign = true;
            first_is_asan = is_asan_runtime(entry.text);
            first_foreign = entry.index;
        }
    }
    if (first_is_asan && !place.asan_before)
        return {.behind = true, .index = first_foreign, .asan_before = true};
    if (place.index == SIZE_MAX) place.in_front = true;
    return place;
}

class Output {
  public:
    Output(std::string_view old, char *out, size_t capacity)
        : rest_of_old_(old), out_(out), capacity_(capacity) {}

    void put(std::string_view text) {
        same_ = same_ && rest_of_old_.starts_with(text);
        if (same_) rest_of_old_.remove_prefix(text.size());
        for (size_t i = 0; out_ && i < text.size() && length_ + i < capacity_; ++i)
            out_[length_ + i] = text[i];
        length_ += text.size();
    }
    bool empty() const { return length_ == 0; }
    PreloadResult result() const { return {length_, same_ && rest_of_old_.empty()}; }

  private:
    std::string_view rest_of_old_;
    char *out_;
    size_t capacity_;
    size_t length_ = 0;
    bool same_ = true;
};

// Us, as `old` spelled it if that may stay.
void put_us(Output &output, const PreloadNames &names, std::string_view old, std::string_view first) {
    if (!first.empty()) {
        output.put(first);
        output.put(mark);
    }
    output.put(names.alias_is_right && names.alias && old == names.alias ? old : names.library);
}

}  // namespace

bool PreloadNames::is_us(std::string_view entry) const {
    return !entry.empty() && ((library && entry == library) || (alias && entry == alias));
}

PreloadResult edit_preload(std::string_view value, const PreloadNames &names, PreloadEdit edit,
                           std::string_view first_library, char *out, size_t capacity) {
    const bool include = edit == PreloadEdit::include;
    const Place place = include ? find_place(value, names) : Place{};
    const std::string_view first = place.asan_before ? "" : first_library;
    Output output(value, out, capacity);
    if (place.in_front) put_us(output, names, "", first);

    Entries entries(value, names);
    Entry before;  // a runtime named for us: what separates it from the rest separates us
    Entry entry = entries.next();
    for (; !entry.text.empty(); before = entry, entry = entries.next()) {
        const bool here = include && entry.index == place.index;
        if (entry.kind == Kind::foreign || (here && !place.behind)) {
            const Entry &leader = before.kind == Kind::named_for_us ? before : entry;
            if (!output.empty())
                output.put(leader.gap.empty() ? ":" : leader.gap);
            else if (leader.index == 0)
                output.put(leader.gap);
            if (entry.kind == Kind::foreign)
                output.put(entry.text);
            else
                put_us(output, names, entry.text, first);
        }
        if (here && place.behind) {
            output.put(":");
            put_us(output, names, "", first);
        }
    }
    if (!output.empty() || entry.index == 0) output.put(entry.gap);
    return output.result();
}

}  // namespace taskwatch
