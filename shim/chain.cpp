// SPDX-License-Identifier: MIT
// The notifier chain: walks, and the writers that replace the snapshot. Who reads which snapshot is
// readers.cpp's; which events there are, and what a verdict means, is the caller's.
#include "chain.hpp"

#include <cerrno>
#include <cstring>

#include "backoff.hpp"

namespace taskwatch {

namespace {

// Names this thread by its address, before a fork and after it. A tid would change: the child of a signal
// handler that interrupted a registration and forked could not tell that the lock is its own.
thread_local char this_thread;

constexpr int epoch_shift = 48;  // above any address

}  // namespace

// ------------------------------------------------------------------------------------------------
// Walks

bool Chain::selects(const Walk &walk, const Registration &registration) const {
    return (registration.mask & walk.need) == walk.need && registration.serial <= walk.up_to &&
           !registration.removed.load(std::memory_order_seq_cst);
}

// One callback. False: it was told before, by somebody who did not come to the end.
template <bool has_progress>
bool Chain::call(const Registration &registration, const Walk &walk, unsigned long action, task_watch &task, int &ret_value) {
    if constexpr (has_progress) {
        const Progress::Step step = walk.progress->begin(*walk.progress, registration.number);
        if (step == Progress::Step::skip) return false;
        if (step == Progress::Step::again) action |= WATCH_AGAIN;
    }
    ret_value = registration.call(registration.nb, action, &task);
    if constexpr (has_progress) walk.progress->end(*walk.progress, registration.number);
    return true;
}

template <bool has_progress>
void Chain::walk_snapshot(const Walk &walk, const Snapshot &snapshot, task_watch &task, WalkResult &result) {
    for (unsigned i = 0; i < snapshot.observers; ++i) {
        Registration &watcher = this->registration(snapshot.order[i]);
        if (!selects(walk, watcher)) continue;
        if (!call<has_progress>(watcher, walk, walk.action, task, result.value)) continue;
        if (!(result.value & NOTIFY_STOP_MASK)) continue;
        if (walk.ignore_stop) {
            if (walk.offender && !watcher.warned.load(std::memory_order_relaxed) &&
                !watcher.warned.exchange(true, std::memory_order_relaxed))
                walk.offender(watcher.nb, watcher.name);
        } else if ((watcher.mask & walk.honour) == walk.honour) {
            result.stopped_by = watcher.name;
            break;
        }
    }

    task.verdict = result.value;
    if (!task.stopped_by) task.stopped_by = result.stopped_by;
    const unsigned long action = walk.action | (result.stopped() ? WATCH_STOPPED : 0);
    int ignored;
    for (unsigned i = snapshot.observers; i < snapshot.count; ++i) {
        const Registration &observer = this->registration(snapshot.order[i]);
        if (selects(walk, observer)) call<has_progress>(observer, walk, action, task, ignored);
    }
}

WalkResult Chain::walk(const Walk &walk, task_watch &task, PinStack &own) {
    WalkResult result;
    result.serial = newest_.load(std::memory_order_acquire);
    if ((wanted() & walk.need) != walk.need || current_.load(std::memory_order_relaxed) == 0) return result;

    const Readers::Pin pin(readers_, current_, own);
    const Snapshot &snapshot = this->snapshot(pin.snapshot());
    result.serial = snapshot.serial;
    if (walk.progress)
        walk_snapshot<true>(walk, snapshot, task, result);
    else
        walk_snapshot<false>(walk, snapshot, task, result);
    return result;
}

const char *Chain::name_of(const notifier_block *nb, PinStack &own) const {
    if (current_.load(std::memory_order_relaxed) == 0) return nullptr;
    const Readers::Pin pin(readers_, current_, own);
    const Snapshot &snapshot = this->snapshot(pin.snapshot());
    for (unsigned i = 0; i < snapshot.count; ++i) {
        const Registration &registration = this->registration(snapshot.order[i]);
        if (registration.nb == nb && !registration.removed.load(std::memory_order_relaxed))
            return registration.name;
    }
    return nullptr;
}

// ------------------------------------------------------------------------------------------------
// Writers

uint64_t Chain::writer(uint16_t epoch) {
    return uint64_t(epoch) << epoch_shift | uint64_t(uintptr_t(&this_thread));
}

// 0 or EDEADLK: a signal handler that interrupted a registration of its own thread would wait for itself.
int Chain::lock() {
    for (Backoff backoff;; backoff.pause()) {
        const uint16_t epoch = readers_.epoch();
        const uint64_t mine = writer(epoch);  // anew each time: a handler may fork while this waits
        uint64_t holder = lock_.load(std::memory_order_relaxed);
        if (holder == mine) return EDEADLK;
        const bool free = holder == 0 || holder >> epoch_shift != epoch;
        if (free && lock_.compare_exchange_strong(holder, mine, std::memory_order_acquire)) return 0;
    }
}

Chain::Registration *Chain::find(const notifier_block *nb, unsigned *ret_count) {
    const Snapshot &current = snapshot(current_.load(std::memory_order_relaxed));
    Registration *found = nullptr;
    unsigned count = 0;
    for (unsigned i = 0; i < current.count; ++i) {
        Registration &registration = this->registration(current.order[i]);
        if (registration.removed.load(std::memory_order_relaxed)) continue;
        ++count;
        if (registration.nb == nb) found = &registration;
    }
    if (ret_count) *ret_count = count;
    return found;
}

unsigned Chain::count_of(const char *name) const {
    const Snapshot &current = snapshot(current_.load(std::memory_order_relaxed));
    unsigned count = 0;
    for (unsigned i = 0; i < current.count; ++i) {
        const Registration &registration = this->registration(current.order[i]);
        if (!registration.removed.load(std::memory_order_relaxed) && strcmp(registration.name, name) == 0) ++count;
    }
    return count;
}

// Which snapshots a walk may be in, the current one included. False if it may be in any.
bool Chain::mark_pinned(bool (&ret_pinned)[snapshot_count + 1]) const {
    for (bool &pinned : ret_pinned) pinned = false;
    ret_pinned[current_.load(std::memory_order_relaxed)] = true;
    return readers_.mark_pinned(ret_pinned);
}

// Which snapshots have it, those included that are free and hold old news: nobody pins them.
void Chain::mark_holders(const Registration &registration, bool (&ret_holders)[snapshot_count + 1]) const {
    const uint8_t index = registration.index;
    for (bool &holder : ret_holders) holder = false;
    for (unsigned n = 1; n <= used_snapshots_; ++n)
        for (unsigned i = 0; i < snapshot(n).count; ++i)
            if (snapshot(n).order[i] == index) ret_holders[n] = true;
}

// A number, or 0. Never used ones first: no look at the readers' pages while a process starts.
uint16_t Chain::free_snapshot() {
    if (used_snapshots_ < snapshot_count) return ++used_snapshots_;
    bool pinned[snapshot_count + 1];
    if (!mark_pinned(pinned)) return 0;
    for (uint16_t n = 1; n <= snapshot_count; ++n)
        if (!pinned[n]) return n;
    return 0;
}

Chain::Registration *Chain::free_registration() {
    if (used_registrations_ < registration_count) {
        Registration &fresh = registration(used_registrations_);
        fresh.index = uint8_t(used_registrations_++);
        return &fresh;
    }
    bool pinned[snapshot_count + 1], held[registration_count] = {};
    if (!mark_pinned(pinned)) return nullptr;
    for (unsigned n = 1; n <= snapshot_count; ++n)
        for (unsigned i = 0; pinned[n] && i < snapshot(n).count; ++i) held[snapshot(n).order[i]] = true;
    for (unsigned i = 0; i < registration_count; ++i)
        if (!held[i]) return &registration(i);
    return nullptr;
}

// Makes snapshot `number` the chain: what is in it now, less `left_out`, and `added` behind its equals.
void Chain::publish(uint16_t number, const Registration *added, const Registration *left_out) {
    const Snapshot &current = snapshot(current_.load(std::memory_order_relaxed));
    Snapshot &next = snapshot(number);
    next.serial = added ? added->serial : current.serial;
    next.wanted = 0;
    next.count = next.observers = 0;
    auto append = [&](const Registration &registration) {
        next.order[next.count++] = registration.index;
        next.wanted |= registration.mask;
        if (registration.priority != WATCH_PRIORITY_OBSERVER) next.observers = next.count;
    };
    for (unsigned i = 0; i < current.count; ++i) {
        const Registration &registration = this->registration(current.order[i]);
        if (&registration == left_out || registration.removed.load(std::memory_order_relaxed)) continue;
        if (added && added->priority > registration.priority) {
            append(*added);
            added = nullptr;
        }
        append(registration);
    }
    if (added) append(*added);
    current_.store(number, std::memory_order_seq_cst);
    announce(next);
}

void Chain::announce(const Snapshot &snapshot) {
    wanted_.store(snapshot.wanted, std::memory_order_release);
    newest_.store(snapshot.serial, std::memory_order_release);
}

int Chain::add(notifier_block *nb, uint32_t mask, const char *name, NumberOf *number_of) {
    constexpr uint32_t known = WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED;
    if (!nb || !nb->notifier_call || !(mask & WATCH_MASK_ALL) || (mask & ~known)) return EINVAL;
    if (int error = lock()) return error;

    int error = 0;
    unsigned count = 0;
    if (find(nb, &count)) {
        error = EEXIST;
    } else if (count == WATCH_CHAIN_CAPACITY) {
        error = ENOSPC;
    } else {
        Registration *registration = free_registration();
        if (const uint16_t next = registration ? free_snapshot() : uint16_t{0}) {
            registration->nb = nb;
            registration->call = nb->notifier_call;
            registration->name = name ? name : "(unnamed)";  // null would say that a STOP did not count
            registration->serial = newest_.load(std::memory_order_relaxed) + 1;
            registration->priority = nb->priority;
            registration->mask = mask;
            registration->number = name && number_of ? (uint8_t)number_of(name, count_of(name)) : uint8_t{0};
            registration->warned.store(false, std::memory_order_relaxed);
            registration->removed.store(false, std::memory_order_relaxed);
            publish(next, registration, nullptr);
        } else {
            error = ENOMEM;
        }
    }
    unlock();
    return error;
}

// Takes nb out and notes the walks that may still call it.
int Chain::take_out(const notifier_block *nb, Readers::Walks *ret_walks) {
    if (int error = lock()) return error;
    Registration *registration = find(nb);
    if (registration) {
        // No room is no reason to fail: walks then pass over it, until the next writer leaves it out.
        if (const uint16_t next = free_snapshot())
            publish(next, nullptr, registration);
        else
            registration->removed.store(true, std::memory_order_seq_cst);
        if (ret_walks) {
            bool holders[snapshot_count + 1];
            mark_holders(*registration, holders);
            readers_.collect(holders, *ret_walks);
        }
    }
    unlock();
    return registration ? 0 : ENOENT;
}

// Apart from remove() because Walks is half a kilobyte, which a callback's stack may not have.
int Chain::take_out_and_wait(const notifier_block *nb) {
    Readers::Walks walks;
    if (int error = take_out(nb, &walks)) return error;
    readers_.wait_for(walks);
    return 0;
}

int Chain::remove(notifier_block *nb, const PinStack &own) {
    if (!nb) return EINVAL;
    return own.depth > 0 ? take_out(nb, nullptr) : take_out_and_wait(nb);
}

void Chain::release_down_to(PinStack &own, unsigned depth) { readers_.release_down_to(own, depth); }

void Chain::after_fork_in_child(const PinStack &own) {
    const uint16_t before = readers_.epoch();
    readers_.after_fork_in_child(own);
    // A registration that this very thread was in when a handler forked goes on when the handler returns.
    if (lock_.load(std::memory_order_relaxed) == writer(before))
        lock_.store(writer(readers_.epoch()), std::memory_order_relaxed);
    // Another thread may have been between the snapshot and what is said of it.
    if (uint16_t current = current_.load(std::memory_order_relaxed)) announce(snapshot(current));
}

}  // namespace taskwatch
