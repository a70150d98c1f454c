// SPDX-License-Identifier: MIT
// A walk of our chain beside two others over the same callbacks: a list under RCU (liburcu's memb flavour), and the
// kernel's list of 2006, under a mutex because nothing else keeps its blocks from going away.
//
// For each: instructions of a walk, counted one step at a time; nanoseconds in one thread; in two that are pinned to
// processors of their own, as a ratio to one. The last lines are what one watcher costs and what each further one does.
#define _LGPL_SOURCE  // liburcu's read side inline, at its fastest
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/rculist.h>
#include <urcu/urcu-memb.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "chain.hpp"
#include "pinned.hpp"

using namespace taskwatch;

namespace {

int callback(notifier_block *, unsigned long, void *) { return NOTIFY_OK; }

// Each of these is the same to its reader: one_walk(), by any thread that has enter()ed.
class OwnChain {
  public:
    static constexpr const char *name = "chain";
    explicit OwnChain(std::vector<notifier_block> &blocks) {
        for (notifier_block &nb : blocks)
            if (chain_->add(&nb, WATCH_MASK_INIT, "bench") != 0) abort();
    }
    void enter() {}
    void leave() {}
    void one_walk(task_watch &record) {
        thread_local PinStack own;
        chain_->walk({.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT}, record, own);
    }

  private:
    std::unique_ptr<Chain> chain_ = std::make_unique<Chain>();
};

class RcuList {
  public:
    static constexpr const char *name = "RCU list";
    explicit RcuList(std::vector<notifier_block> &blocks) : entries_(blocks.size()) {
        CDS_INIT_LIST_HEAD(&head_);
        for (size_t i = 0; i < blocks.size(); ++i) {
            entries_[i].nb = &blocks[i];
            cds_list_add_tail_rcu(&entries_[i].node, &head_);
        }
    }
    void enter() { urcu_memb_register_thread(); }
    void leave() { urcu_memb_unregister_thread(); }
    void one_walk(task_watch &record) {
        urcu_memb_read_lock();
        Entry *entry;
        cds_list_for_each_entry_rcu(entry, &head_, node)
            if (entry->nb->notifier_call(entry->nb, WATCH_TASK_INIT, &record) & NOTIFY_STOP_MASK) break;
        urcu_memb_read_unlock();
    }

  private:
    struct Entry {
        cds_list_head node;
        notifier_block *nb;
    };
    cds_list_head head_;
    std::vector<Entry> entries_;
};

class LockedList {
  public:
    static constexpr const char *name = "list, mutex";
    explicit LockedList(std::vector<notifier_block> &blocks) {
        notifier_block **link = &head_;
        for (notifier_block &nb : blocks) {
            *link = &nb;
            link = &nb.next;
        }
        *link = nullptr;
    }
    void enter() {}
    void leave() {}
    void one_walk(task_watch &record) {
        pthread_mutex_lock(&mutex_);
        for (notifier_block *nb = head_; nb;) {
            notifier_block *next = nb->next;
            if (nb->notifier_call(nb, WATCH_TASK_INIT, &record) & NOTIFY_STOP_MASK) break;
            nb = next;
        }
        pthread_mutex_unlock(&mutex_);
    }

  private:
    notifier_block *head_ = nullptr;
    pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

// Instructions of a child that does so many walks and ends; -1 if it cannot be stepped.
template <typename List>
long steps(List &list, int times) {
    pid_t child = fork();
    if (child == 0) {
        task_watch record{};
        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        raise(SIGSTOP);
        for (int i = 0; i < times; ++i) list.one_walk(record);
        _exit(0);
    }
    int status;
    long count = 0;
    for (; waitpid(child, &status, 0) == child && WIFSTOPPED(status); ++count)
        if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) break;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? count : -1;
}

template <typename List>
double instructions(List &list) {
    // What is done once, and how it ends, is in both. The first walks are longer: lazy binding.
    list.enter();
    task_watch record{};
    list.one_walk(record);
    const double result = double(steps(list, 60) - steps(list, 20)) / 40;
    list.leave();
    return result;
}

struct Figures {
    double instructions, ns, ratio;
};

template <typename List>
Figures measure(const std::vector<int> &cpus, unsigned watchers) {
    std::vector<notifier_block> blocks(watchers, {callback, nullptr, 0});
    List list(blocks);
    auto body = [&] {
        task_watch record{};
        for (int i = 0; i < walks; ++i) list.one_walk(record);
    };
    // Registered with liburcu once, not in each round: best() runs `body` in threads that live for all rounds.
    auto in_thread = [&] {
        thread_local bool entered = (list.enter(), true);
        (void)entered;
        body();
    };
    Figures found{instructions(list), best(cpus, 1, in_thread), 0};
    if (cpus.size() > 1) found.ratio = best(cpus, 2, in_thread) / found.ns;
    return found;
}

constexpr unsigned counts[] = {0, 1, 2, 4, 8};

template <typename List>
void print(const std::vector<int> &cpus) {
    std::vector<Figures> all;
    for (unsigned watchers : counts) {
        all.push_back(measure<List>(cpus, watchers));
        printf("%-12s %8u %13.1f %8.1f %10.2f\n", List::name, watchers, all.back().instructions, all.back().ns,
               all.back().ratio);
        fflush(stdout);
    }
    const Figures &none = all[0], &one = all[1], &eight = all.back();
    printf("%-12s one watcher %.1f instructions %.1f ns, each further one %.1f instructions %.1f ns\n", List::name,
           one.instructions - none.instructions, one.ns - none.ns, (eight.instructions - one.instructions) / 7,
           (eight.ns - one.ns) / 7);
}

}  // namespace

int main() {
    const std::vector<int> cpus = processors();
    printf("of a walk, ns the best of %d rounds of %d\n", rounds, walks);
    printf("%-12s %8s %13s %8s %10s\n", "", "watchers", "instructions", "ns", "2 threads");
    print<OwnChain>(cpus);
    print<RcuList>(cpus);
    print<LockedList>(cpus);
}
