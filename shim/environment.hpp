// SPDX-License-Identifier: MIT
// The variables that keep the shim in its descendants, and the copy of a passed environment in which
// they are repaired. `environ` itself is never changed; nothing is copied when all is already right.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "preload_list.hpp"

namespace taskwatch {

// The value of NAME in `envp` (which may be null), or null. Own scan: bash exports its own getenv.
// The first one if there are several, as getenv(3). Async-signal-safe.
const char *environment_value(char *const *envp, const char *name);

// What every descendant should have, taken once at start-up, in memory of ours (a program may
// overwrite its environment block, as setproctitle does).
//
// set() may run while another thread passes an environment on: a reader sees the old text or the new.
class Inheritance {
  public:
    // Remembers how LD_PRELOAD names us and every TASKWATCH_* variable of `envp` but TASKWATCH_DISABLE and
    // TASKWATCH_SESSION. `library`: our path, absolute, in memory that lasts; null when we were not preloaded but
    // linked: nothing is repaired then. An entry of LD_PRELOAD with the same file name counts as us too: "libtaskwatch.so"
    // and "/usr/$LIB/libtaskwatch.so" are left as they are, "./libtaskwatch.so" is replaced by `library` for
    // descendants, which may run in another folder.
    // 0; ENOMEM (what had room is remembered); EINVAL: ld.so cannot be told this path (it has a ':', a space,
    // or more than 254 bytes), library() stays null. Not async-signal-safe.
    [[nodiscard]] int capture(char *const *envp, const char *library);
    // TASKWATCH_SESSION's value: of our own making when the first process founds the session.
    [[nodiscard]] int set_session(const char *value);
    // Sets or replaces one variable ("NAME", "value") that descendants get. 0 or ENOMEM: max_variables are
    // set, or no memory. Async-signal-safe.
    [[nodiscard]] int set(const char *name, const char *value);

    const char *library() const { return names_.library; }

    constexpr Inheritance() = default;
    Inheritance(const Inheritance &) = delete;
    Inheritance &operator=(const Inheritance &) = delete;

    static constexpr size_t max_variables = 32;

  private:
    friend class PassedEnvironment;
    static const char *keep(std::string_view head, std::string_view tail);
    [[nodiscard]] int put(std::string_view head, std::string_view value, bool replace);
    const char *variable(size_t i) const { return variables_[i].load(std::memory_order_acquire); }

    PreloadNames names_ = {};
    std::atomic<const char *> variables_[max_variables] = {};  // "TASKWATCH_WATCHERS=trace"; null ends
};

// How a passed environment has to look.
enum class Repair {
    follow,    // the image will load us: name us in LD_PRELOAD, add what is missing
    leave,     // it will not: take us out of LD_PRELOAD, leave the TASKWATCH_* variables as they are
    take_out,  // TASKWATCH_FOLLOW=0: take us and the session out
};

// A repaired copy of `envp`, or `envp` itself when nothing has to change. Lives on the caller's stack;
// up to `inline_bytes` of pointers and text there, more in a mapping that the destructor removes. If no
// memory is to be had, or the environment grows meanwhile, envp is passed as it is; also if it does not fit
// inline while TASKWATCH_QUIET is inherited (R16: no new mapping).
//
// A variable that the program passes itself wins over what was captured, TASKWATCH_SESSION aside. If
// LD_PRELOAD appears more than once, the last one is repaired, which is the one ld.so obeys.
// TASKWATCH_DISABLE on in `envp`: nothing is repaired, we are taken out of nothing. A null envp is an empty
// one, as for execve(2).
// Async-signal-safe, vfork child included, but see mapping().
class PassedEnvironment {
  public:
    // `first_library`: an ASan runtime to be named before us (Target::first_library), "" for none.
    PassedEnvironment(char *const *envp, const Inheritance &inheritance, Repair repair,
                      const char *first_library);
    ~PassedEnvironment();
    PassedEnvironment(const PassedEnvironment &) = delete;
    PassedEnvironment &operator=(const PassedEnvironment &) = delete;

    char *const *get() const { return result_; }
    bool changed() const { return result_ != original_; }

    // The mapping in use, or null. A child on its parent's memory (vfork, posix_spawn) whose exec succeeds
    // never runs the destructor: the parent has to munmap it, or each such exec loses a few pages.
    void *mapping() const { return mapping_; }
    size_t mapped() const { return mapped_; }

  private:
    class Draft;

    char *const *original_;
    char *const *result_;
    void *mapping_ = nullptr;
    size_t mapped_ = 0;
    static constexpr size_t inline_bytes = 768;
    alignas(16) char inline_[inline_bytes];
};

}  // namespace taskwatch
