// SPDX-License-Identifier: MIT
// The functions of string.h that the shim uses, as symbols of its own. libc's would be bound by the dynamic linker at
// the first call of each, which costs a start a thousand instructions for each one and, in a callback or a signal
// handler, a kilobyte of its stack. Ours are short; nothing long is handled here.
//
// The contracts are the C standard's and string(3)'s.
#include <cstddef>
#include <cstdint>

using byte = unsigned char;

#if defined(__x86_64__)

#include <emmintrin.h>

// The first place from `text` on, less than `most` bytes away, that has `c`, or a NUL if `or_nul`; text + most if there is
// none. Sixteen bytes at a time, each of one aligned piece: that never reaches into another page.
[[gnu::always_inline]] static inline const char *first_of(const char *text, char c, bool or_nul, size_t most) {
    const auto at = reinterpret_cast<uintptr_t>(text);
    const auto *piece = reinterpret_cast<const __m128i *>(at & ~uintptr_t{15});
    const __m128i wanted = _mm_set1_epi8(c), nul = _mm_setzero_si128();
    const char *end = most > UINTPTR_MAX - at ? reinterpret_cast<const char *>(UINTPTR_MAX) : text + most;
    for (unsigned skip = (unsigned)(at & 15); most != 0; piece++, skip = 0) {
        // By an instruction of our own: what is beside the text is nobody's business, and AddressSanitizer's least.
        __m128i bytes;
        asm("movdqa %1, %0" : "=x"(bytes) : "m"(*piece));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, wanted));
        if (or_nul) found |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, nul));
        found = found >> skip << skip;
        if (found) {
            const char *place = reinterpret_cast<const char *>(piece) + __builtin_ctz(found);
            return place < end ? place : end;
        }
        if (end <= reinterpret_cast<const char *>(piece + 1)) break;
    }
    return end;
}

#else

static inline const char *first_of(const char *text, char c, bool or_nul, size_t most) {
    for (; most && *text != c && !(or_nul && *text == '\0'); text++) most--;
    return text;
}

#endif

extern "C" {

#if defined(__x86_64__)

// One instruction each, fast from a few dozen bytes on.
void *memcpy(void *to, const void *from, size_t size) {
    void *at = to;
    asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t size) {
    void *at = to;
    asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

#else

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++) static_cast<byte *>(to)[i] = static_cast<const byte *>(from)[i];
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (size_t i = 0; i < size; i++) static_cast<byte *>(to)[i] = byte(value);
    return to;
}

#endif

int memcmp(const void *left, const void *right, size_t size) {
    auto *a = static_cast<const byte *>(left), *b = static_cast<const byte *>(right);
    for (; size; a++, b++, size--)
        if (*a != *b) return *a - *b;
    return 0;
}

void *memchr(const void *in, int c, size_t size) {
    auto *text = static_cast<const char *>(in);
    if (size < 8) {  // std::string_view asks it for each byte whether it is in a set
        for (; size && *text != char(c); text++) size--;
        return size ? const_cast<char *>(text) : nullptr;
    }
    const char *found = first_of(text, char(c), false, size);
    return found == text + size ? nullptr : const_cast<char *>(found);
}

size_t strnlen(const char *text, size_t most) { return (size_t)(first_of(text, '\0', false, most) - text); }

size_t strlen(const char *text) { return strnlen(text, SIZE_MAX); }

int strncmp(const char *left, const char *right, size_t most) {
    for (; most; left++, right++, most--)
        if (*left != *right || *left == '\0') return byte(*left) - byte(*right);
    return 0;
}

int strcmp(const char *left, const char *right) { return strncmp(left, right, SIZE_MAX); }

char *strchrnul(const char *text, int c) {
    return const_cast<char *>(first_of(text, char(c), true, SIZE_MAX));
}

char *strchr(const char *text, int c) {
    char *found = strchrnul(text, c);
    return *found == char(c) ? found : nullptr;
}

char *strrchr(const char *text, int c) {
    const char *found = nullptr;
    do
        if (*text == char(c)) found = text;
    while (*text++);
    return const_cast<char *>(found);
}

size_t strcspn(const char *text, const char *reject) {
    size_t length = 0;
    for (const char *r; text[length]; length++) {
        for (r = reject; *r && *r != text[length]; r++) {
        }
        if (*r) break;
    }
    return length;
}

size_t strspn(const char *text, const char *accept) {
    size_t length = 0;
    while (text[length] && strchr(accept, text[length])) length++;
    return length;
}

char *strpbrk(const char *text, const char *accept) {
    text += strcspn(text, accept);
    return *text ? const_cast<char *>(text) : nullptr;
}

char *strstr(const char *text, const char *part) {
    const size_t length = strlen(part);
    for (;; text++) {
        if (strncmp(text, part, length) == 0) return const_cast<char *>(text);
        if (!*text) return nullptr;
    }
}

char *strncpy(char *to, const char *from, size_t size) {
    size_t length = strnlen(from, size);
    memcpy(to, from, length);
    memset(to + length, 0, size - length);
    return to;
}

char *strcpy(char *to, const char *from) {
    memcpy(to, from, strlen(from) + 1);
    return to;
}

}  // extern "C"
