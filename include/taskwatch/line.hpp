// SPDX-License-Identifier: MIT
//
// A line of text in a callback, and the file it goes to. stdio may hold a lock that the interrupted code has,
// and allocates; this does neither.
#pragma once

#include <taskwatch/taskwatch.h>

#include <string_view>

namespace taskwatch {

// At most `capacity` bytes, the newline included, on the stack of the callback; what does not fit is cut, and
// the line then ends with "...". Control characters are written as '?': a path may hold anything.
//
//     Line<160> line;
//     line << task.path << " by " << task.pid;
//     log.write(line);
template <unsigned int capacity>
class Line {
    static_assert(capacity >= 8 && capacity <= 1024, "a callback has 1 KiB of stack");

  public:
    Line &operator<<(std::string_view text) {
        for (char c : text) put(c >= 0 && (c < ' ' || c == 127) ? '?' : c);
        return *this;
    }
    Line &operator<<(const char *text) { return *this << std::string_view(text ? text : "(none)"); }
    Line &operator<<(unsigned long number) {
        char digits[20];
        unsigned int first = sizeof digits;
        do digits[--first] = char('0' + number % 10);
        while (number /= 10);
        return *this << std::string_view(digits + first, sizeof digits - first);
    }
    Line &operator<<(long number) {
        if (number < 0) put('-');
        return *this << (number < 0 ? 0 - (unsigned long)number : (unsigned long)number);
    }
    Line &operator<<(int number) { return *this << long{number}; }
    Line &operator<<(unsigned int number) { return *this << static_cast<unsigned long>(number); }

    std::string_view text() const { return {bytes_, length_}; }

    // Ends the line. What is put behind it is lost.
    std::string_view finish() {
        if (cut_) bytes_[capacity - 4] = bytes_[capacity - 3] = bytes_[capacity - 2] = '.';
        bytes_[length_] = '\n';
        return {bytes_, length_ + 1};
    }

  private:
    void put(char c) {
        if (length_ == capacity - 1)
            cut_ = true;
        else
            bytes_[length_++] = c;
    }

    unsigned int length_ = 0;
    bool cut_ = false;
    char bytes_[capacity];
};

// A file of the watcher's, or the session's standard error. A member of the watcher; see struct taskwatch_sink.
class Sink {
  public:
    // In configure() or start(). `path` must stay valid; null: the session's standard error. Opened at once, so
    // that a wrong path can be refused. 0 or a negative errno.
    int open(const char *path) { return taskwatch_sink_init(&sink_, path, path != nullptr); }
    template <unsigned int capacity>
    int write(Line<capacity> &line) {
        std::string_view text = line.finish();
        return write(text);
    }
    int write(std::string_view record) { return taskwatch_write(&sink_, record.data(), record.size()); }

  private:
    taskwatch_sink sink_ = {};
};

}  // namespace taskwatch
