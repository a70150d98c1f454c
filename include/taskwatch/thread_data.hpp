// SPDX-License-Identifier: MIT
//
// What a watcher keeps of a thread: as much as it likes, in this process's own memory, found without a
// search. For processes there is Watcher::cell(): the memory of this process is not the child's, not the
// next image's, and not that of whoever acts on behalf.
#pragma once

#include <taskwatch/taskwatch.h>

#include <atomic>
#include <new>
#include <type_traits>

namespace taskwatch {

// Room for `capacity` threads, static and zero at first: pages that no thread needs are never touched, and
// no callback allocates. What is attached at a thread's INIT is found by the thread's record in each
// later callback, and is gone after release() at its FREE.
//
// The kernel patch kept such data in a pointer inside the task. One of its watchers set that at CLONE and freed
// it at FREE: a fork that failed in between freed its parent's, of which the child's was still a copy
// (Linux 2.6.18-rc2-mm1, delay accounting). Here nothing is copied from task to task. The cell has the number
// of a place, the place has the id of its task, and an id is never used twice: a FREE without an INIT, a second
// FREE, one in a forked child or in another image, and a number that somebody else wrote into the cell find
// nothing and release nothing.
//
//     taskwatch::ThreadData<Times> times;                                  // a member of the watcher
//     if (Times *mine = times.attach(task, block())) mine->started = ...;  // at INIT
//     if (Times *mine = times.find(task, block())) ...;                    // later
//     times.release(task, block());                                        // at FREE
//
// It takes the first four bytes of the watcher's cell of a thread, so a watcher uses one ThreadData, and
// cell() for processes only. All of it is async-signal-safe, without a lock, for any context.
template <typename T, unsigned int capacity = 1024>
class ThreadData {
    static_assert(std::is_trivially_destructible_v<T>,
                  "a thread that is cut off by exec or a signal has nobody who would destroy it");
    static_assert(capacity >= 1);

  public:
    // At INIT. A new T, value-initialised; null for a process, without a session, and when `capacity` threads
    // have one.
    T *attach(const task_watch &task, const notifier_block *nb) {
        std::atomic<uint32_t> *cell = cell_of(task, nb);
        if (!(task.clone_flags & thread_flag) || !cell) return nullptr;
        for (unsigned int tried = 0; tried < capacity; tried++) {
            unsigned int number = next_.fetch_add(1, std::memory_order_relaxed) % capacity;
            Place &place = places_[number];
            pid_t holder = place.process.load(std::memory_order_relaxed);
            // What a fork copied from its parent belongs to threads that do not exist here.
            if (holder == task.tgid) continue;
            if (!place.process.compare_exchange_strong(holder, task.tgid, std::memory_order_acquire)) continue;
            T *data = new (place.bytes) T();
            place.task.store(task.id, std::memory_order_release);
            cell->store(number + 1, std::memory_order_release);
            return data;
        }
        return nullptr;
    }

    // What is attached to this task here, or null.
    T *find(const task_watch &task, const notifier_block *nb) {
        Place *place = place_of(task, nb);
        return place ? std::launder(reinterpret_cast<T *>(place->bytes)) : nullptr;
    }

    // Gives the place back. True for the one call that did.
    bool release(const task_watch &task, const notifier_block *nb) {
        Place *place = place_of(task, nb);
        uint64_t id = task.id;
        if (!place || !place->task.compare_exchange_strong(id, 0, std::memory_order_relaxed)) return false;
        place->process.store(0, std::memory_order_release);
        return true;
    }

  private:
    static constexpr uint64_t thread_flag = 0x00010000;  // CLONE_THREAD, without _GNU_SOURCE

    struct Place {
        std::atomic<pid_t> process = 0;  // who has it; 0: nobody
        std::atomic<uint64_t> task = 0;  // whose it is; ids are not used twice
        alignas(T) unsigned char bytes[sizeof(T)] = {};
    };

    static std::atomic<uint32_t> *cell_of(const task_watch &task, const notifier_block *nb) {
        return static_cast<std::atomic<uint32_t> *>(taskwatch_cell(&task, nb));
    }

    Place *place_of(const task_watch &task, const notifier_block *nb) {
        std::atomic<uint32_t> *cell = cell_of(task, nb);
        uint32_t number = cell ? cell->load(std::memory_order_acquire) : 0;
        if (number < 1 || number > capacity) return nullptr;
        Place &place = places_[number - 1];
        return place.task.load(std::memory_order_acquire) == task.id ? &place : nullptr;
    }

    std::atomic<uint32_t> next_ = 0;
    Place places_[capacity] = {};
};

}  // namespace taskwatch
