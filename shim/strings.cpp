// SPDX-License-Identifier: MIT
// The functions of string.h that the shim uses, as symbols of its own. libc's would be bound by the dynamic linker at
// the first call of each, which costs a start a thousand instructions for each one and, in a callback or a signal
// handler, a kilobyte of its stack. Ours are short and slow; nothing long is handled here.
//
// The contracts are the C standard's and string(3)'s.
#include <cstddef>
#include <cstdint>

using byte = unsigned char;

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
    for (auto *p = static_cast<const byte *>(in); size; p++, size--)
        if (*p == byte(c)) return const_cast<byte *>(p);
    return nullptr;
}

size_t strnlen(const char *text, size_t most) {
    size_t length = 0;
    while (length < most && text[length]) length++;
    return length;
}

size_t strlen(const char *text) { return strnlen(text, SIZE_MAX); }

int strncmp(const char *left, const char *right, size_t most) {
    for (; most; left++, right++, most--)
        if (*left != *right || *left == '\0') return byte(*left) - byte(*right);
    return 0;
}

int strcmp(const char *left, const char *right) { return strncmp(left, right, SIZE_MAX); }

char *strchrnul(const char *text, int c) {
    while (*text && *text != char(c)) text++;
    return const_cast<char *>(text);
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
    while (text[length] && !strchr(reject, text[length])) length++;
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
