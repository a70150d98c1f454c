// SPDX-License-Identifier: MIT
// One line of text, built without allocation, cut with "..." when it is too long.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace taskwatch {

class Line {
  public:
    // Not inlined, here and below: messages consist of little else, and the library's size is paid by each process.
    [[gnu::noinline]] Line &operator<<(std::string_view text) {
        for (char c : text) push(c);
        return *this;
    }
    [[gnu::noinline]] Line &operator<<(const char *text) { return *this << std::string_view(text ? text : "(null)"); }
    Line &operator<<(long long number) {
        if (number < 0) push('-');
        return *this << (unsigned long long)(number < 0 ? -(unsigned long long)number : number);
    }
    Line &operator<<(int number) { return *this << (long long)number; }
    Line &operator<<(long number) { return *this << (long long)number; }
    Line &operator<<(char) = delete;  // it would print as a number
    Line &operator<<(unsigned long number) { return *this << (unsigned long long)number; }
    Line &operator<<(unsigned int number) { return *this << (unsigned long long)number; }
    [[gnu::noinline]] Line &operator<<(unsigned long long number) {
        char digits[20];
        int n = 0;
        do {
            digits[n++] = char('0' + number % 10);
            number /= 10;
        } while (number);
        while (n) push(digits[--n]);
        return *this;
    }
    // The text without and with its newline. c_str() is valid until the line changes.
    std::string_view view() const { return {text_, length_}; }
    const char *c_str() {
        text_[length_] = '\0';
        return text_;
    }
    std::string_view with_newline() {
        text_[length_] = '\n';
        return {text_, length_ + 1};
    }

  private:
    void push(char c) {
        if (length_ < capacity)
            text_[length_++] = c;
        else
            text_[capacity - 1] = text_[capacity - 2] = text_[capacity - 3] = '.';
    }
    static constexpr size_t capacity = 510;
    char text_[capacity + 2];
    size_t length_ = 0;
};

}  // namespace taskwatch
