// SPDX-License-Identifier: MIT
// Taking and giving back a signal's notices. The visitors run on the listing thread of waitable.cpp.
#include "notices.hpp"

#include <sys/wait.h>

#include "sys.hpp"
#include "waitable.hpp"

namespace taskwatch {
namespace {

bool has_ended(const siginfo_t &child) {
    return child.si_code == CLD_EXITED || child.si_code == CLD_KILLED || child.si_code == CLD_DUMPED;
}

// A later death of a child that was stopped before is news.
uint64_t key_of(const siginfo_t &child) {
    return (uint64_t)(uint32_t)child.si_pid << 32 | (uint32_t)child.si_code;
}

bool is_of_child(const siginfo_t &notice, pid_t child) {
    return notice.si_code >= CLD_EXITED && notice.si_code <= CLD_CONTINUED && notice.si_pid == child;
}

}  // namespace

void Notices::start(int signal, unsigned long action_flags, pid_t vetoed) {
    signal_ = signal;
    vetoed_ = vetoed;
    tell_all_ = false;
    // A stop is told by SIGCHLD alone; __WCLONE are the children whose exit signal is another.
    if (signal != SIGCHLD)
        options_ = WEXITED | __WCLONE;
    else
        options_ = action_flags & SA_NOCLDSTOP ? WEXITED : WEXITED | WSTOPPED | WCONTINUED;
    pending_count_ = old_count_ = 0;
    for_each_waitable(options_, remember, this);
}

void Notices::take_pending() {
    sys::SignalMask set = sys::signal_bit(signal_);
    timespec at_once = {};
    while (pending_count_ < max_pending) {
        siginfo_t &notice = pending_[pending_count_];
        if (sys::call(SYS_rt_sigtimedwait, &set, &notice, &at_once, sizeof set) < 0) return;
        if (is_of_child(notice, vetoed_))
            tell_all_ = true;  // stopped while held; another child's notice may have merged into its own
        else
            pending_count_++;
    }
}

void Notices::give_back() {
    for (unsigned i = 0; i < pending_count_; i++) {
        // tgkill() and pthread_kill() meant this thread.
        if (pending_[i].si_code == SI_TKILL)
            sys::call(SYS_rt_tgsigqueueinfo, sys::getpid(), sys::gettid(), signal_, &pending_[i]);
        else
            send(pending_[i]);
    }
}

// To the process. The kernel lets a thread forge a child's notice only if it names itself, not its process,
// as the target; the signal is the process's all the same.
void Notices::send(siginfo_t notice) const {
    notice.si_signo = signal_;
    sys::call(SYS_rt_sigqueueinfo, sys::gettid(), signal_, &notice);
}

bool Notices::is_old(const siginfo_t &child) const {
    for (unsigned i = 0; i < old_count_; i++)
        if (old_[i] == key_of(child)) return true;
    return false;
}

bool Notices::is_told(const siginfo_t &child) const {
    if (child.si_pid == vetoed_) return true;
    // Died between start() and take_pending(): its own notice has been given back.
    for (unsigned i = 0; i < pending_count_; i++)
        if (is_of_child(pending_[i], child.si_pid) && pending_[i].si_code == child.si_code) return true;
    return is_old(child) && !tell_all_;
}

void Notices::visit_new(Visit visit) {
    // Again, because where nothing but the first child can be listed, reaping it uncovers the next.
    int rounds = 0;
    do {
        found_new_ = false;
        for_each_waitable(options_, visit, this);
    } while (found_new_ && ++rounds < 64);
}

void Notices::remember(void *self, const siginfo_t &child) {
    Notices &notices = *(Notices *)self;
    if (notices.old_count_ < max_old) notices.old_[notices.old_count_++] = key_of(child);
}

void Notices::announce(void *self, const siginfo_t &child) {
    Notices &notices = *(Notices *)self;
    if (!notices.is_told(child)) notices.send(child);
}

void Notices::announce_and_reap(void *self, const siginfo_t &child) {
    announce(self, child);
    if (has_ended(child))
        reap(self, child);
    else
        remember(self, child);
}

void Notices::reap(void *self, const siginfo_t &child) {
    Notices &notices = *(Notices *)self;
    bool knows_old = notices.old_count_ < max_old;
    if (!has_ended(child) || !knows_old || notices.is_old(child) || child.si_pid == notices.vetoed_) return;
    notices.found_new_ = true;
    siginfo_t taken = {};
    sys::call(SYS_waitid, P_PID, child.si_pid, &taken, WEXITED | WNOHANG, 0);
}

}  // namespace taskwatch
