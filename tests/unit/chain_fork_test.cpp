// SPDX-License-Identifier: MIT
// The chain in forked children, where the other threads have vanished, and under signal handlers that
// interrupt a registration. The genuine fork, no preload.
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <deque>
#include <thread>

#include "recording_watcher.hpp"

using taskwatch::Chain;
using taskwatch::PinStack;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};

// An event that one thread or process tells another: a byte in a pipe.
class Event {
  public:
    Event() { EXPECT_EQ(pipe(fds_), 0); }
    ~Event() { close(fds_[0]), close(fds_[1]); }
    void tell() { EXPECT_EQ(write(fds_[1], "", 1), 1); }
    void await() {
        char byte;
        while (read(fds_[0], &byte, 1) < 0 && errno == EINTR) {}
    }

  private:
    int fds_[2];
};

// What `body` complains of in a forked child of this thread: "" if of nothing.
template <typename Body>
std::string in_child(Chain &chain, PinStack &own, Body body) {
    int fds[2];
    EXPECT_EQ(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);  // a hang is a failure
        chain.after_fork_in_child(own);
        std::string complaint = body();
        _exit(write(fds[1], complaint.data(), complaint.size()) == (ssize_t)complaint.size() ? 0 : 1);
    }
    close(fds[1]);
    std::string complaint;
    char text[256];
    for (ssize_t n; (n = read(fds[0], text, sizeof text)) > 0;) complaint.append(text, size_t(n));
    close(fds[0]);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    if (status != 0) complaint += " (wait status " + std::to_string(status) + ")";
    return complaint;
}

class ChainFork : public WithChain {
  protected:
    // Registers, walks and unregisters; says what went wrong.
    std::string use_it(const std::string &expected) {
        std::string said;
        RecordingWatcher extra("extra", log, -100);
        if (int e = add(extra)) said += " add: " + std::to_string(e);
        if (std::string seen = walk(); seen != expected + " extra") said += " walk: " + seen;
        if (!(chain->wanted() & WATCH_MASK_INIT)) said += " wanted";
        if (int e = remove(extra)) said += " remove: " + std::to_string(e);
        if (std::string seen = walk(); seen != expected) said += " walk after remove: " + seen;
        return said;
    }
};

TEST_F(ChainFork, TheChildHasItsParentsChainAndTheirWaysPart) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    EXPECT_EQ(in_child(*chain, own,
                       [&]() -> std::string {
                           std::string said = use_it("a b");
                           if (remove(a) != 0) said += " remove a";
                           return said + use_it("b");
                       }),
              "");
    EXPECT_EQ(walk(), "a b");
}

TEST_F(ChainFork, WalksOfThreadsThatDoNotExistInTheChildAreForgottenThere) {
    RecordingWatcher a("a", log);
    Event inside, go_on;
    a.inside = [&](auto...) { inside.tell(), go_on.await(); };
    ASSERT_EQ(add(a), 0);
    std::thread walker([&] {
        PinStack walkers{};
        task_watch record{};
        chain->walk(init, record, walkers);
    });
    inside.await();
    a.inside = nullptr;
    EXPECT_EQ(in_child(*chain, own,
                       [&]() -> std::string {
                           std::string said = use_it("a");
                           return remove(a) == 0 ? said : said + " remove a";
                       }),
              "");
    go_on.tell();
    walker.join();
}

TEST_F(ChainFork, SoAreThoseThatFoundNoReaderFree) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    walk_within_walks(*chain, a, 200, [&] {
        EXPECT_EQ(in_child(*chain, own,
                           [&]() -> std::string {
                               std::string said = use_it("a b");
                               return remove(b) == 0 ? said : said + " remove b";
                           }),
                  "");
    });
}

// As in a handler that interrupted a walk just before it had claimed the reader that its stack names.
TEST_F(ChainFork, AReaderThatIsOnlyNamedIsNotTakenOver) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    PinStack others{};
    a.inside = [&](auto...) {
        a.inside = nullptr;
        own = others;
        EXPECT_EQ(in_child(*chain, own,
                           [&]() -> std::string {
                               chain->release_down_to(own, 0);
                               return remove(b) == 0 ? "" : "remove b";
                           }),
                  "");
        own = {};
    };
    chain->walk(init, task, others);
}

TEST_F(ChainFork, AChildForkedInsideACallbackKeepsTheSnapshotItIsIn) {
    RecordingWatcher a("a", log, 2), b("b", log, 1), c("c", log), x("x", log, 3);
    for (RecordingWatcher *w : {&a, &b, &c}) ASSERT_EQ(add(*w), 0);
    for (int i = 0; i < 300; ++i) {  // afterwards the first place that is free is taken, whichever it is
        ASSERT_EQ(add(x), 0);
        ASSERT_EQ(remove(x), 0);
    }
    pid_t child = -1;
    a.inside = [&](auto...) {
        a.inside = nullptr;
        if ((child = fork()) != 0) return;
        alarm(30);
        chain->after_fork_in_child(own);
        if (remove(b) != 0) _exit(3);
        for (int i = 0; i < 300; ++i) {
            if (chain->add(&x.nb, WATCH_MASK_ALL, "x") != 0 || remove(x) != 0) _exit(3);
            x.nb.priority = i % 5;
        }
    };
    std::string seen = walk();
    if (child == 0)
        _exit(seen != "a b c" ? 4 : own.depth != 0 ? 5 : remove(c) != 0 ? 6 : walk() != "a" ? 7 : 0);
    EXPECT_EQ(seen, "a b c");
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(ChainFork, AChildForkedBelowTheEndOfThePinStackLosesNoPin) {
    RecordingWatcher a("a", log, 1), b("b", log);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b), 0);
    int depth = 0;
    pid_t child = -1;
    a.inside = [&](unsigned long, task_watch &of) {
        if (++depth < 12) {
            chain->walk(init, of, own);
        } else if ((child = fork()) == 0) {
            alarm(30);
            chain->after_fork_in_child(own);
        }
    };
    walk();
    a.inside = nullptr;
    if (child == 0) _exit(remove(b) != 0 ? 3 : walk() != "a" ? 4 : remove(a) != 0 ? 5 : 0);
    EXPECT_EQ(remove(b), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(ChainFork, AForkWhileAnotherThreadRegistersLeavesTheChildUsable) {
    RecordingWatcher a("a", log, 1), b("b", log);
    std::string unused;
    std::deque<RecordingWatcher> others;
    for (int i = 0; i < 8; ++i) others.emplace_back(std::to_string(i), unused, 5 - i % 3);
    ASSERT_EQ(add(a), 0);
    ASSERT_EQ(add(b, WATCH_MASK_INIT), 0);
    std::atomic<bool> enough = false;
    std::atomic<unsigned> registered = 0;
    std::thread registrar([&] {
        PinStack registrars{};
        for (unsigned i = 0; !enough; ++i) {
            RecordingWatcher &w = others[i * 7 % others.size()];
            EXPECT_EQ(chain->add(&w.nb, WATCH_MASK_FREE, "w"), 0);
            ++registered;
            EXPECT_EQ(chain->remove(&w.nb, registrars), 0);
        }
    });
    while (registered == 0) sched_yield();
    for (int round = 0; round < 300 && !HasFailure(); ++round)
        EXPECT_EQ(in_child(*chain, own, [&] { return use_it("a b"); }), "") << "round " << round;
    enough = true;
    registrar.join();
}

// A block whose priority is on a page that faults: reading it, the registration is interrupted while it
// holds the writers' lock.
class FaultingBlock {
  public:
    FaultingBlock() {
        page_ = sysconf(_SC_PAGESIZE);
        memory_ = static_cast<char *>(mmap(nullptr, size_t(2 * page_), PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        nb = reinterpret_cast<notifier_block *>(memory_ + page_ - offsetof(notifier_block, priority));
        *nb = {[](notifier_block *, unsigned long, void *) { return int(NOTIFY_DONE); }, nullptr, 1};
        mprotect(memory_ + page_, size_t(page_), PROT_NONE);
        now_ = this;
        struct sigaction action = {};
        action.sa_handler = [](int) {
            auto handle = now_->handle;
            handle();
            mprotect(now_->memory_ + now_->page_, size_t(now_->page_), PROT_READ | PROT_WRITE);
        };
        sigaction(SIGSEGV, &action, &before_);
    }
    ~FaultingBlock() {
        sigaction(SIGSEGV, &before_, nullptr);
        munmap(memory_, size_t(2 * page_));
    }
    notifier_block *nb;
    std::function<void()> handle;

  private:
    static inline FaultingBlock *now_;
    struct sigaction before_;
    char *memory_;
    long page_;
};

TEST_F(ChainFork, AHandlerThatInterruptsARegistrationOfItsThreadIsRefused) {
    RecordingWatcher a("a", log), other("other", log, -1);
    ASSERT_EQ(add(a), 0);
    FaultingBlock faulting;
    int adds = -1, removes = -1;
    std::string walked;
    faulting.handle = [&] {
        adds = add(other);
        removes = remove(a);
        walked = walk();
    };
    EXPECT_EQ(chain->add(faulting.nb, WATCH_MASK_ALL, "faulting"), 0);
    EXPECT_EQ(adds, EDEADLK);
    EXPECT_EQ(removes, EDEADLK);
    EXPECT_EQ(walked, "a");
    EXPECT_STREQ(chain->name_of(faulting.nb, own), "faulting");
    EXPECT_EQ(add(other), 0);
    EXPECT_EQ(walk(), "a other");
}

TEST_F(ChainFork, ARegistrationThatItsOwnThreadForkedOutOfGoesOnInTheChild) {
    RecordingWatcher a("a", log);
    ASSERT_EQ(add(a), 0);
    FaultingBlock faulting;
    pid_t child = -1;
    int in_handler = -1;
    faulting.handle = [&] {
        if ((child = fork()) != 0) return;
        alarm(30);
        chain->after_fork_in_child(own);
        RecordingWatcher other("other", log);
        in_handler = add(other);
    };
    int added = chain->add(faulting.nb, WATCH_MASK_ALL, "faulting");
    if (child == 0) {
        bool found = chain->name_of(faulting.nb, own) != nullptr;
        _exit(in_handler != EDEADLK ? 3 : added != 0 ? 4 : !found ? 5 : use_it("a") != "" ? 6 : 0);
    }
    EXPECT_EQ(added, 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(ChainFork, ALockHeldByAThreadThatDoesNotExistInTheChildIsFreeThere) {
    RecordingWatcher a("a", log);
    ASSERT_EQ(add(a), 0);
    FaultingBlock faulting;
    Event inside, go_on;
    faulting.handle = [&] { inside.tell(), go_on.await(); };
    std::thread registrar([&] { EXPECT_EQ(chain->add(faulting.nb, WATCH_MASK_ALL, "faulting"), 0); });
    inside.await();
    EXPECT_EQ(in_child(*chain, own, [&] { return use_it("a"); }), "");
    go_on.tell();
    registrar.join();
    EXPECT_STREQ(chain->name_of(faulting.nb, own), "faulting");
}

}  // namespace
