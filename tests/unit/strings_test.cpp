// SPDX-License-Identifier: MIT
// The library's own string functions against libc's, at each place of a page's end behind which nothing may be read.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

// Under names of their own, beside libc's.
#define memcpy own_memcpy
#define memset own_memset
#define memcmp own_memcmp
#define memchr own_memchr
#define strnlen own_strnlen
#define strlen own_strlen
#define strncmp own_strncmp
#define strcmp own_strcmp
#define strchrnul own_strchrnul
#define strchr own_strchr
#define strrchr own_strrchr
#define strcspn own_strcspn
#define strspn own_strspn
#define strpbrk own_strpbrk
#define strstr own_strstr
#define strncpy own_strncpy
#define strcpy own_strcpy
#include "strings.cpp"
#undef memcpy
#undef memset
#undef memcmp
#undef memchr
#undef strnlen
#undef strlen
#undef strncmp
#undef strcmp
#undef strchrnul
#undef strchr
#undef strrchr
#undef strcspn
#undef strspn
#undef strpbrk
#undef strstr
#undef strncpy
#undef strcpy

namespace {

constexpr size_t longest = 70;

class Strings : public testing::Test {
  protected:
    Strings() {
        void *memory = mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        EXPECT_NE(memory, MAP_FAILED);
        begin_ = static_cast<char *>(memory);
        mprotect(begin_, 4096, PROT_NONE);
        mprotect(begin_ + 2 * 4096, 4096, PROT_NONE);
    }
    ~Strings() override { munmap(begin_, 3 * 4096); }

    // `length` bytes and a NUL that end with the page, or begin with it.
    char *at_the_end(size_t length) { return fill(begin_ + 2 * 4096 - length - 1, length); }
    char *at_the_beginning(size_t length) { return fill(begin_ + 4096, length); }

  private:
    static char *fill(char *text, size_t length) {
        for (size_t i = 0; i < length; i++) text[i] = char('a' + i % 7);
        text[length] = '\0';
        return text;
    }
    char *begin_;
};

TEST_F(Strings, AreAsLongAsLibcSays) {
    for (size_t length = 0; length < longest; length++)
        for (char *text : {at_the_beginning(length), at_the_end(length)})
            for (size_t from = 0; from <= length; from++) {
                ASSERT_EQ(own_strlen(text + from), strlen(text + from));
                for (size_t most : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, length - from, longest, SIZE_MAX})
                    ASSERT_EQ(own_strnlen(text + from, most), strnlen(text + from, most)) << length << " " << from << " " << most;
            }
}

TEST_F(Strings, AreSearchedAsLibcDoes) {
    for (size_t length = 0; length < longest; length++)
        for (char *text : {at_the_beginning(length), at_the_end(length)})
            for (const char *c = "ag\0z"; c < &"ag\0z"[0] + 4; c++)
                for (size_t from = 0; from <= length; from++) {
                    ASSERT_EQ(own_strchr(text + from, *c), strchr(text + from, *c));
                    ASSERT_EQ(own_strchrnul(text + from, *c), strchrnul(text + from, *c));
                    ASSERT_EQ(own_strrchr(text + from, *c), strrchr(text + from, *c));
                    for (size_t size = 0; size <= length - from; size++)
                        ASSERT_EQ(own_memchr(text + from, *c, size), memchr(text + from, *c, size));
                }
}

TEST_F(Strings, SetsAndPartsAreFoundAsLibcDoes) {
    for (size_t length = 0; length < longest; length++) {
        const char *text = at_the_end(length);
        for (const char *set : {"", "c", ": ", "gf", "xyza"}) {
            ASSERT_EQ(own_strcspn(text, set), strcspn(text, set));
            ASSERT_EQ(own_strspn(text, set), strspn(text, set));
            ASSERT_EQ(own_strpbrk(text, set), strpbrk(text, set));
            ASSERT_EQ(own_strstr(text, set), strstr(text, set));
        }
    }
}

TEST_F(Strings, AreComparedAndCopiedAsLibcDoes) {
    char copy[longest + 1], padded[longest + 1];
    for (size_t length = 0; length < longest; length++) {
        const char *text = at_the_end(length);
        ASSERT_EQ(own_strcpy(copy, text), copy);
        ASSERT_EQ(own_strcmp(copy, text), 0);
        ASSERT_EQ(own_strncpy(padded, text, sizeof padded), padded);
        ASSERT_EQ(own_memcmp(padded, text, length + 1), 0);
        ASSERT_EQ(padded[longest], '\0');
        if (length == 0) continue;
        copy[length - 1] = '\xff';
        ASSERT_GT(own_strcmp(copy, text), 0);
        ASSERT_LT(own_strncmp(text, copy, length), 0);
        ASSERT_EQ(own_strncmp(text, copy, length - 1), 0);
        ASSERT_GT(own_memcmp(copy, text, length), 0);
    }
}

}  // namespace
