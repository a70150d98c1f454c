// SPDX-License-Identifier: MIT
//
// The C++20 face of taskwatch.h: a watcher as a class with typed callbacks and a verdict that cannot be
// misread. Header only; needs no libstdc++ at run time, so that a watcher needs libc alone (compile with
// -fno-exceptions -fno-rtti, link with the C compiler).
//
//     struct Budget : taskwatch::Watcher<Budget> {
//         taskwatch::Verdict on_init(const task_watch &task, taskwatch::Flags) {
//             return taskwatch::is_thread(task) ? taskwatch::allow() : taskwatch::deny(EAGAIN);
//         }
//     };
//     TASKWATCH_WATCHER(Budget, "budget", "refuses every new process")
//
// A callback that the class does not have is an event that is not wanted: its cost is one load and one
// branch in the watched program. The rules for callbacks are those of taskwatch.h, CONTEXT.
#pragma once

#include <taskwatch/line.hpp>
#include <taskwatch/taskwatch.h>
#include <taskwatch/thread_data.hpp>

#include <cerrno>
#include <new>
#include <type_traits>
#include <utility>

namespace taskwatch {

// A positive errno, checked where it is written: deny(0), deny(-EAGAIN) and a variable do not compile.
class Errno {
  public:
    consteval Errno(int number) : number_(number) {
        if (number < 1 || number > 4095) an_errno_is_a_number_from_1_to_4095();
    }
    // A number that is known at run time only; one that is no errno becomes EAGAIN.
    static constexpr Errno of(int number) {
        Errno result(EAGAIN);
        if (number >= 1 && number <= 4095) result.number_ = number;
        return result;
    }
    constexpr int number() const { return number_; }

  private:
    static void an_errno_is_a_number_from_1_to_4095();  // not constexpr: calling it is the error
    int number_;
};

// What a watcher says of a creation, or of a call it was asked about before. There is no conversion from
// int: `return EAGAIN;`, which to the kernel's chain means "go on", does not compile.
class [[nodiscard]] Verdict {
  public:
    constexpr int notifier_value() const { return value_; }

  private:
    constexpr explicit Verdict(int value) : value_(value) {}
    friend constexpr Verdict allow();
    friend constexpr Verdict deny(Errno error);
    int value_;
};

constexpr Verdict allow() { return Verdict(NOTIFY_OK); }

// The call fails with this errno.
constexpr Verdict deny(Errno error) { return Verdict(NOTIFY_STOP_MASK | (NOTIFY_OK + error.number())); }

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

// At INIT a process has no id yet, so the flags say it; later its pid is its tgid.
constexpr bool is_thread(const task_watch &task) {
    return task.clone_flags & 0x00010000 /* CLONE_THREAD */ || task.pid != task.tgid;
}

// A member or static object that is made by create(), in normal context, and never destroyed. A watcher's callbacks
// run until the very end of a process, after atexit handlers and static destructors: an object with a destructor
// would be used after its death. And one with a constructor would be made at each exec of each program, before
// anybody asked for it.
template <typename T>
class Immortal {
  public:
    template <typename... A>
    T &create(A &&...arguments) {
        return *new (bytes_) T(std::forward<A>(arguments)...);
    }
    T &operator*() { return *std::launder(reinterpret_cast<T *>(bytes_)); }
    T *operator->() { return &**this; }

  private:
    alignas(T) unsigned char bytes_[sizeof(T)] = {};
};

// Every callback that a watcher may have, and what it returns. They take (const task_watch &, Flags).
//   forecast_exec    an exec of an image that will not load us, announced before the call
//   withdrawn_exec   ... which failed
#define TASKWATCH_CALLBACKS_(CALLBACK)                                                                       \
    CALLBACK(on_init, Verdict)                                                                               \
    CALLBACK(on_clone, Verdict)                                                                              \
    CALLBACK(before_exec, Verdict)                                                                           \
    CALLBACK(before_uid, Verdict)                                                                            \
    CALLBACK(before_gid, Verdict)                                                                            \
    CALLBACK(on_exec, void)                                                                                  \
    CALLBACK(on_uid, void)                                                                                   \
    CALLBACK(on_gid, void)                                                                                   \
    CALLBACK(failed_exec, void)                                                                              \
    CALLBACK(failed_uid, void)                                                                               \
    CALLBACK(failed_gid, void)                                                                               \
    CALLBACK(forecast_exec, void)                                                                            \
    CALLBACK(withdrawn_exec, void)                                                                           \
    CALLBACK(on_exit, void)                                                                                  \
    CALLBACK(on_free, void)

// Base of a watcher. Besides the callbacks above Self may have
//   const char *configure(const char *key, const char *value)   an option; a message refuses it
//   const char *start()                                         after the options; a message refuses all
//   void finish(int reason)                                     TASKWATCH_FINI_...
//   static constexpr int priority = WATCH_PRIORITY_OBSERVER;    or another: 0
// configure and start run in normal context, the rest as taskwatch.h says. All of them are public.
template <typename Self>
class Watcher {
  public:
    static constexpr int priority = 0;

    const notifier_block *block() const { return block_; }

    // This watcher's cell of `task` as a T, or null. Zero bytes at INIT, the same in the creator, the task, its later
    // images and whoever acts on behalf.
    template <typename T>
    T *cell(const task_watch &task) const {
        static_assert(sizeof(T) <= TASKWATCH_CELL_SIZE && alignof(T) <= 8, "a cell is 16 bytes, 8-byte aligned");
        static_assert(std::is_trivially_destructible_v<T>, "nobody destroys what is in a cell");
        static_assert(!std::is_pointer_v<T>, "a cell is read in other memory, where a pointer means nothing");
        return static_cast<T *>(taskwatch_cell(&task, block_));
    }
    // This watcher's words of the whole session, or null.
    template <typename T>
    T *shared() const {
        static_assert(sizeof(T) <= TASKWATCH_SHARED_MAX && std::is_trivially_destructible_v<T>);
        return static_cast<T *>(taskwatch_shared(block_, sizeof(T)));
    }

    // WATCH_MASK_ bits, from the callbacks that Self has.
    static constexpr unsigned int events() {
        unsigned int mask = 0;
        auto add = [&mask](bool has, unsigned int bits) { mask |= has ? bits : 0; };
        add(has_on_init(), WATCH_MASK_INIT);
        add(has_on_clone(), WATCH_MASK_CLONE);
        add(has_on_exec() || has_forecast_exec() || has_withdrawn_exec(), WATCH_MASK_EXEC);
        add(has_before_exec(), WATCH_MASK_EXEC | WATCH_MASK_BEFORE);
        add(has_failed_exec(), WATCH_MASK_EXEC | WATCH_MASK_FAILED);
        add(has_on_uid(), WATCH_MASK_UID);
        add(has_before_uid(), WATCH_MASK_UID | WATCH_MASK_BEFORE);
        add(has_failed_uid(), WATCH_MASK_UID | WATCH_MASK_FAILED);
        add(has_on_gid(), WATCH_MASK_GID);
        add(has_before_gid(), WATCH_MASK_GID | WATCH_MASK_BEFORE);
        add(has_failed_gid(), WATCH_MASK_GID | WATCH_MASK_FAILED);
        add(has_on_exit(), WATCH_MASK_EXIT);
        add(has_on_free(), WATCH_MASK_FREE);
        return mask;
    }

    // The descriptor's functions; TASKWATCH_WATCHER puts them there.
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
        const Flags flags(action);
        const bool before = action & WATCH_BEFORE, failed = action & WATCH_FAILED;
        switch (get_watch_event(action)) {
            case WATCH_TASK_INIT: return call_on_init(self, task, flags);
            case WATCH_TASK_CLONE: return call_on_clone(self, task, flags);
            case WATCH_TASK_EXEC:
                if (task.context & TASKWATCH_FORECAST)
                    return failed ? call_withdrawn_exec(self, task, flags) : call_forecast_exec(self, task, flags);
                return before   ? call_before_exec(self, task, flags)
                       : failed ? call_failed_exec(self, task, flags)
                                : call_on_exec(self, task, flags);
            case WATCH_TASK_UID:
                return before   ? call_before_uid(self, task, flags)
                       : failed ? call_failed_uid(self, task, flags)
                                : call_on_uid(self, task, flags);
            case WATCH_TASK_GID:
                return before   ? call_before_gid(self, task, flags)
                       : failed ? call_failed_gid(self, task, flags)
                                : call_on_gid(self, task, flags);
            case WATCH_TASK_EXIT: return call_on_exit(self, task, flags);
            case WATCH_TASK_FREE: return call_on_free(self, task, flags);
        }
        return NOTIFY_DONE;
    }

    static void finish_instance(Self &self, int reason) {
        if constexpr (requires { self.finish(reason); }) self.finish(reason);
    }

  private:
// has_NAME(): whether Self has it; one that would never be called, for its parameters or its result, does not compile.
// call_NAME(): calls it.
#define TASKWATCH_CALLBACK_(name, Result)                                                                    \
    static constexpr bool has_##name() {                                                                     \
        if constexpr (requires(Self &s, const task_watch &t, Flags f) { s.name(t, f); }) {                   \
            using Returned = decltype(std::declval<Self &>().name(std::declval<const task_watch &>(), Flags(0))); \
            static_assert(std::is_same_v<Returned, Result>, #name " returns " #Result);                      \
            return true;                                                                                     \
        } else {                                                                                             \
            static_assert(!requires { &Self::name; }, #name " takes (const task_watch &, Flags)");           \
            return false;                                                                                    \
        }                                                                                                    \
    }                                                                                                        \
    static int call_##name([[maybe_unused]] Self &self, [[maybe_unused]] const task_watch &task,             \
                           [[maybe_unused]] Flags flags) {                                                   \
        if constexpr (!has_##name()) {                                                                       \
            return NOTIFY_DONE;                                                                              \
        } else if constexpr (std::is_same_v<Result, Verdict>) {                                              \
            return self.name(task, flags).notifier_value();                                                  \
        } else {                                                                                             \
            self.name(task, flags);                                                                          \
            return NOTIFY_DONE;                                                                              \
        }                                                                                                    \
    }
    TASKWATCH_CALLBACKS_(TASKWATCH_CALLBACK_)
#undef TASKWATCH_CALLBACK_

    const notifier_block *block_ = nullptr;
};
#undef TASKWATCH_CALLBACKS_

}  // namespace taskwatch

// Exports `Class` as a watcher. Once per shared object. The instance is made by the compiler: nothing is run when
// the object is loaded, and nothing when the process ends.
#define TASKWATCH_WATCHER(Class, watcher_name, watcher_description)                                          \
    static_assert(Class::events() != 0, #Class " has no callback, so it would never be called");             \
    static_assert(std::is_trivially_destructible_v<Class>, #Class " is never destroyed: taskwatch::Immortal"); \
    static constinit Class taskwatch_instance_;                                                              \
    static const char *taskwatch_init_(notifier_block *nb, char *options) {                                  \
        return Class::start_instance(taskwatch_instance_, nb, options);                                      \
    }                                                                                                        \
    static int taskwatch_notify_(notifier_block *, unsigned long action, void *task) {                       \
        return Class::dispatch(taskwatch_instance_, action, *static_cast<const task_watch *>(task));         \
    }                                                                                                        \
    static void taskwatch_fini_(int reason) { Class::finish_instance(taskwatch_instance_, reason); }         \
    extern "C" [[gnu::visibility("default")]] constinit const taskwatch_watcher taskwatch_watcher = {        \
        TASKWATCH_ABI_VERSION, sizeof(struct taskwatch_watcher), watcher_name,    watcher_description,       \
        Class::events(),       Class::priority,                  taskwatch_init_, taskwatch_notify_,         \
        taskwatch_fini_};
