// SPDX-License-Identifier: MIT
//
// What a watcher keeps of a thread: as much as it likes, in this process's own memory, found without a
// search. For processes there is Watcher::cell(): the memory of this process is not the child's, not the
// next image's, and not that of whoever acts on behalf.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>
#include <taskwatch/taskwatch.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <new>
#include <type_traits>

namespace taskwatch {

// A place for each thread that has data: the first ones in the watcher itself, where pages that no thread needs are never
// touched; when all are taken, twice as many more, mapped from the kernel. A place never moves. What is attached at a
// thread's INIT is found by the thread's record in each later callback, and is gone after release() at its FREE.
//
// Not malloc's memory, though INIT of a thread seldom comes in a signal handler. A program's malloc may itself start
// threads, with its locks held (jemalloc's do), and then INIT would wait for the very thread that it runs in; clone(2) makes
// threads in programs that have no malloc that is ready; and FREE comes wherever a process ends, also in an _exit()
// inside of a signal handler that has interrupted free().
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
template <typename T, unsigned int first = 64>
class ThreadData {
    static_assert(std::is_trivially_destructible_v<T>,
                  "a thread that is cut off by exec or a signal has nobody who would destroy it");
    static_assert(first >= 1 && first <= 4096);

  public:
    // At INIT. A new T, value-initialised; null for a process, without a session, and when there is no memory: behind a seccomp
    // filter (TASKWATCH_QUIET) none is asked for.
    T *attach(const task_watch &task, const notifier_block *nb) {
        std::atomic<uint32_t> *cell = cell_of(task, nb);
        if (!(task.clone_flags & thread_flag) || !cell) return nullptr;
        for (unsigned int places = capacity();; places = capacity()) {
            for (unsigned int tried = 0; tried < places; tried++) {
                unsigned int number = next_.fetch_add(1, std::memory_order_relaxed) % places;
                Place &place = *place_at(number);
                pid_t holder = place.process.load(std::memory_order_relaxed);
                // What a fork copied from its parent belongs to threads that do not exist here.
                if (holder == task.tgid) continue;
                if (!place.process.compare_exchange_strong(holder, task.tgid, std::memory_order_acquire))
                    continue;
                T *data = new (place.bytes) T();
                place.task.store(task.id, std::memory_order_release);
                cell->store(number + 1, std::memory_order_release);
                return data;
            }
            if (task.context & TASKWATCH_QUIET || !grow(places)) return nullptr;
        }
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

    // How many places there are now.
    unsigned int capacity() const { return capacity_.load(std::memory_order_acquire); }

  private:
    static constexpr uint64_t thread_flag = 0x00010000;  // CLONE_THREAD, without _GNU_SOURCE
    static constexpr unsigned int blocks = 16;

    // Zero at first, as the memory is that the kernel gives.
    struct Place {
        std::atomic<pid_t> process = 0;  // who has it; 0: nobody
        std::atomic<uint64_t> task = 0;  // whose it is; ids are not used twice
        alignas(T) unsigned char bytes[sizeof(T)] = {};
    };

    static std::atomic<uint32_t> *cell_of(const task_watch &task, const notifier_block *nb) {
        return static_cast<std::atomic<uint32_t> *>(taskwatch_cell(&task, nb));
    }

    // Block k has first * 2^k places, so it begins with number first * (2^k - 1).
    static constexpr unsigned int block_of(unsigned int number) {
        return std::bit_width(number / first + 1) - 1;
    }

    // `number` is below a capacity that was read.
    Place *place_at(unsigned int number) {
        unsigned int block = block_of(number);
        return (block ? more_[block - 1].load(std::memory_order_acquire) : places_) +
               (number - first * ((1u << block) - 1));
    }

    Place *place_of(const task_watch &task, const notifier_block *nb) {
        std::atomic<uint32_t> *cell = cell_of(task, nb);
        uint32_t number = cell ? cell->load(std::memory_order_acquire) : 0;
        if (number < 1 || number > capacity()) return nullptr;
        Place &place = *place_at(number - 1);
        return place.task.load(std::memory_order_acquire) == task.id ? &place : nullptr;
    }

    // True if there are more than `seen` places now, whoever made them.
    bool grow(unsigned int seen) {
        const unsigned int block = block_of(seen);
        if (block >= blocks) return false;
        const size_t bytes = (size_t(first) << block) * sizeof(Place);
        long memory = system_call_mmap(bytes);
        if (memory == -1) return capacity() != seen;
        Place *none = nullptr;
        if (!more_[block - 1].compare_exchange_strong(none, reinterpret_cast<Place *>(memory)))
            syscall(SYS_munmap, memory, bytes);
        capacity_.compare_exchange_strong(seen, seen + (first << block));
        return true;
    }

    // Not mmap(): the program may have one of its own.
    static long system_call_mmap(size_t bytes) {
#ifdef SYS_mmap2
        constexpr long number = SYS_mmap2;
#else
        constexpr long number = SYS_mmap;
#endif
        return syscall(number, 0l, bytes, long(PROT_READ | PROT_WRITE), long(MAP_PRIVATE | MAP_ANONYMOUS),
                       -1l, 0l);
    }

    std::atomic<uint32_t> next_ = 0;
    std::atomic<uint32_t> capacity_ = first;
    std::atomic<Place *> more_[blocks - 1] = {};
    Place places_[first] = {};
};

}  // namespace taskwatch
