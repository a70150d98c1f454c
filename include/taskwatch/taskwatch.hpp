// SPDX-License-Identifier: MIT
//
// The C++20 face of taskwatch.h: a watcher as a class with typed callbacks and a verdict that cannot be
// misread. Header only; needs no libstdc++ at run time, so that a watcher still needs libc alone
// (compile with -fno-exceptions -fno-rtti, link with the C compiler).
//
//     struct Budget : taskwatch::Watcher<Budget> {
//         taskwatch::Verdict on_init(const task_watch &task, taskwatch::Flags) {
//             return task.clone_flags & CLONE_THREAD ? taskwatch::allow() : taskwatch::deny(EAGAIN);
//         }
//     };
//     TASKWATCH_WATCHER(Budget, "budget", "refuses every new process")
//
// A callback that the class does not have is an event that is not wanted: its cost is one load and one
// branch in the watched program. The rules for callbacks are those of taskwatch.h, CONTEXT.
#pragma once

#include <taskwatch/taskwatch.h>

#include <cerrno>
#include <new>
#include <type_traits>

namespace taskwatch {

// What a watcher says of a creation, or of a call it was asked about BEFORE. There is no conversion from
// int: `return EAGAIN;` does not compile.
class Verdict {
  public:
    constexpr int notifier_value() const { return value_; }

  private:
    constexpr explicit Verdict(int value) : value_(value) {}
    friend constexpr Verdict allow();
    friend constexpr Verdict deny(int error);
    int value_;
};

constexpr Verdict allow() { return Verdict(NOTIFY_OK); }

// The stopped call fails with `error`, a positive errno; anything else becomes EAGAIN.
constexpr Verdict deny(int error) {
    if (error < 1 || error > 4095) error = EAGAIN;
    return Verdict(NOTIFY_STOP_MASK | (NOTIFY_OK + error));
}

// The flags of a delivery.
class Flags {
  public:
    constexpr explicit Flags(unsigned long action) : action_(action) {}
    constexpr bool on_behalf() const { return action_ & WATCH_ON_BEHALF; }
    constexpr bool again() const { return action_ & WATCH_AGAIN; }
    constexpr bool adopted() const { return action_ & WATCH_ADOPTED; }
    constexpr bool unchanged() const { return action_ & WATCH_UNCHANGED; }
    constexpr bool stopped() const { return action_ & WATCH_STOPPED; }
    constexpr bool status_unknown() const { return action_ & WATCH_STATUS_UNKNOWN; }
    constexpr unsigned long raw() const { return get_watch_flags(action_); }

  private:
    unsigned long action_;
};

// Storage for an object that is made by create() and never destroyed. A watcher's callbacks run until the
// very end of a process, after atexit handlers and static destructors: a static object with a
// destructor would be used after its death.
template <typename T>
class Immortal {
  public:
    template <typename... A>
    T &create(A &&...arguments) {
        return *new (bytes_) T(static_cast<A &&>(arguments)...);
    }
    T &operator*() { return *std::launder(reinterpret_cast<T *>(bytes_)); }
    T *operator->() { return &**this; }

  private:
    alignas(T) unsigned char bytes_[sizeof(T)];
};

// Base of a watcher. Callbacks that Self may have:
//   Verdict on_init, on_clone, before_exec, before_uid, before_gid  (const task_watch &, Flags)
//   void    on_exec, on_uid, on_gid, on_exit, on_free, failed_exec, failed_uid, failed_gid, forecast_exec
//   const char *configure(const char *key, const char *value)   an option; a message to refuse it
//   const char *start()                                         after the options
//   void finish(int reason)                                     TASKWATCH_FINI_...
// configure and start run in normal context, the rest as taskwatch.h says.
template <typename Self>
class Watcher {
  public:
    // Declare a `priority` of its own in Self to change it; WATCH_PRIORITY_OBSERVER makes an observer.
    static constexpr int priority = 0;

    const notifier_block *block() const { return block_; }

    // This watcher's cell of `task` as a T, or null. Zero bytes at INIT.
    template <typename T>
    T *cell(const task_watch &task) const {
        static_assert(sizeof(T) <= TASKWATCH_CELL_SIZE && alignof(T) <= 8, "a cell is 16 bytes, 8-byte aligned");
        static_assert(std::is_trivially_destructible_v<T>, "nobody destroys what is in a cell");
        return static_cast<T *>(taskwatch_cell(&task, block_));
    }
    // This watcher's words of the whole session, or null.
    template <typename T>
    T *shared() const {
        static_assert(sizeof(T) <= TASKWATCH_SHARED_MAX && std::is_trivially_destructible_v<T>);
        return static_cast<T *>(taskwatch_shared(block_, sizeof(T)));
    }

    static constexpr unsigned int events() {
        return (has_init() ? WATCH_MASK_INIT : 0) | (has_clone() ? WATCH_MASK_CLONE : 0) |
               (requires(Self s, const task_watch &t, Flags f) { s.on_exec(t, f); } || has_before_exec() ||
                        has_failed_exec() || has_forecast()
                    ? WATCH_MASK_EXEC
                    : 0) |
               (requires(Self s, const task_watch &t, Flags f) { s.on_uid(t, f); } || has_before_uid() || has_failed_uid()
                    ? WATCH_MASK_UID
                    : 0) |
               (requires(Self s, const task_watch &t, Flags f) { s.on_gid(t, f); } || has_before_gid() || has_failed_gid()
                    ? WATCH_MASK_GID
                    : 0) |
               (requires(Self s, const task_watch &t, Flags f) { s.on_exit(t, f); } ? WATCH_MASK_EXIT : 0) |
               (requires(Self s, const task_watch &t, Flags f) { s.on_free(t, f); } ? WATCH_MASK_FREE : 0) |
               (has_before_exec() || has_before_uid() || has_before_gid() ? WATCH_MASK_BEFORE : 0) |
               (has_failed_exec() || has_failed_uid() || has_failed_gid() ? WATCH_MASK_FAILED : 0);
    }

    // The descriptor's functions; made by TASKWATCH_WATCHER.
    static const char *start_instance(Self &self, notifier_block *nb, char *options) {
        self.block_ = nb;
        char *value;
        while (char *key = taskwatch_next_option(&options, &value)) {
            if constexpr (requires { self.configure(key, value); }) {
                if (const char *refusal = self.configure(key, value)) return refusal;
            } else {
                return "it takes no options";
            }
        }
        if constexpr (requires { self.start(); }) return self.start();
        return nullptr;
    }

    static int dispatch(Self &self, unsigned long action, const task_watch &task) {
        Flags flags(action);
        bool before = action & WATCH_BEFORE, failed = action & WATCH_FAILED;
#define TASKWATCH_TELL_(callback)                                              \
    do {                                                                       \
        if constexpr (requires { self.callback(task, flags); }) self.callback(task, flags); \
        return NOTIFY_DONE;                                                    \
    } while (0)
#define TASKWATCH_ASK_(callback)                                               \
    do {                                                                       \
        if constexpr (requires { self.callback(task, flags); })                \
            return Verdict(self.callback(task, flags)).notifier_value();       \
        return NOTIFY_DONE;                                                    \
    } while (0)
        switch (get_watch_event(action)) {
            case WATCH_TASK_INIT: TASKWATCH_ASK_(on_init);
            case WATCH_TASK_CLONE: TASKWATCH_ASK_(on_clone);
            case WATCH_TASK_EXEC:
                if (task.context & TASKWATCH_FORECAST) TASKWATCH_TELL_(forecast_exec);
                if (before) TASKWATCH_ASK_(before_exec);
                if (failed) TASKWATCH_TELL_(failed_exec);
                TASKWATCH_TELL_(on_exec);
            case WATCH_TASK_UID:
                if (before) TASKWATCH_ASK_(before_uid);
                if (failed) TASKWATCH_TELL_(failed_uid);
                TASKWATCH_TELL_(on_uid);
            case WATCH_TASK_GID:
                if (before) TASKWATCH_ASK_(before_gid);
                if (failed) TASKWATCH_TELL_(failed_gid);
                TASKWATCH_TELL_(on_gid);
            case WATCH_TASK_EXIT: TASKWATCH_TELL_(on_exit);
            case WATCH_TASK_FREE: TASKWATCH_TELL_(on_free);
        }
#undef TASKWATCH_TELL_
#undef TASKWATCH_ASK_
        return NOTIFY_DONE;
    }

    static void finish_instance(Self &self, int reason) {
        if constexpr (requires { self.finish(reason); }) self.finish(reason);
    }

  private:
#define TASKWATCH_HAS_(name, callback)                                                              \
    static constexpr bool name() {                                                                  \
        return requires(Self s, const task_watch &t, Flags f) { s.callback(t, f); };                \
    }
    TASKWATCH_HAS_(has_init, on_init)
    TASKWATCH_HAS_(has_clone, on_clone)
    TASKWATCH_HAS_(has_forecast, forecast_exec)
    TASKWATCH_HAS_(has_before_exec, before_exec)
    TASKWATCH_HAS_(has_before_uid, before_uid)
    TASKWATCH_HAS_(has_before_gid, before_gid)
    TASKWATCH_HAS_(has_failed_exec, failed_exec)
    TASKWATCH_HAS_(has_failed_uid, failed_uid)
    TASKWATCH_HAS_(has_failed_gid, failed_gid)
#undef TASKWATCH_HAS_

    const notifier_block *block_ = nullptr;
};

}  // namespace taskwatch

// Exports `Class` as a watcher. Once per shared object.
#define TASKWATCH_WATCHER(Class, watcher_name, watcher_description)                                          \
    static ::taskwatch::Immortal<Class> taskwatch_instance_;                                                \
    extern "C" [[gnu::visibility("default")]] constinit const taskwatch_watcher taskwatch_watcher = {       \
        TASKWATCH_ABI_VERSION,                                                                              \
        sizeof(struct taskwatch_watcher),                                                                   \
        watcher_name,                                                                                       \
        watcher_description,                                                                                \
        Class::events(),                                                                                    \
        Class::priority,                                                                                    \
        [](notifier_block *nb, char *options) { return Class::start_instance(taskwatch_instance_.create(), nb, options); }, \
        [](notifier_block *, unsigned long action, void *task) {                                            \
            return Class::dispatch(*taskwatch_instance_, action, *static_cast<const task_watch *>(task));   \
        },                                                                                                  \
        [](int reason) { Class::finish_instance(*taskwatch_instance_, reason); },                           \
    };
