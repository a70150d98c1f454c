// SPDX-License-Identifier: MIT
// The chain, interrupted after each single instruction: the races that are a few instructions wide and
// that no stress test meets. The processor's trap flag stops the code, a SIGTRAP handler acts.
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include <gtest/gtest.h>

#include "chain.hpp"
#include "remover.hpp"

#if defined(__x86_64__)

using taskwatch::Chain;
using taskwatch::PinStack;
using taskwatch::Walk;

namespace {

constexpr Walk init = {.action = WATCH_TASK_INIT, .need = WATCH_MASK_INIT};

// Runs a piece of code and calls a function after its nth instruction, in a signal handler.
class Stepper {
  public:
    Stepper() {
        struct sigaction action = {};
        action.sa_sigaction = trapped;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGTRAP, &action, &before_);
    }
    ~Stepper() { sigaction(SIGTRAP, &before_, nullptr); }

    // False if the code was over before that.
    template <typename Code>
    bool run(unsigned instructions, Code code, std::function<void()> act) {
        left_ = instructions + 1;  // the trap below counts
        act_ = &act;
        running_ = true;
        asm volatile("int3" ::: "memory");
        code();
        running_ = false;
        asm volatile("nop" ::: "memory");
        return left_ == 0;
    }

    // How far to go from stop to stop: an instruction, or more where the code was not optimised and
    // stopping everywhere would take minutes.
    template <typename Code>
    unsigned stride(Code code) {
        run(UINT32_MAX - 1, code, [] {});
        return 1 + (UINT32_MAX - left_) / 500;
    }

  private:
    static void trapped(int, siginfo_t *, void *context) {
        constexpr long trap_flag = 0x100;
        greg_t &flags = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_EFL];
        flags &= ~trap_flag;
        if (!running_ || left_ == 0) return;
        left_ = left_ - 1;
        if (left_ > 0)
            flags |= trap_flag;
        else
            (*act_)();
    }

    static inline volatile unsigned left_;
    static inline volatile bool running_;
    static inline std::function<void()> *act_;
    struct sigaction before_;
};

class ChainSteps : public testing::Test {
  protected:
    void SetUp() override { alarm(60); }  // a hang is a failure
    void TearDown() override { alarm(0); }
};

int nothing(notifier_block *, unsigned long, void *) { return NOTIFY_OK; }

// A walk in a vfork child that is killed after so many instructions; true if it was.
[[gnu::noinline]] bool killed_after(Stepper &stepper, unsigned instructions, Chain &chain, PinStack &own) {
    pid_t child = vfork();
    if (child == 0) {
        task_watch record{};
        stepper.run(instructions, [&] { chain.walk(init, record, own); }, [] { kill(getpid(), SIGKILL); });
        _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

TEST_F(ChainSteps, AVforkChildMayBeKilledAfterAnyInstructionOfAWalk) {
    Stepper stepper;
    auto chain = std::make_unique<Chain>();
    PinStack own{};
    task_watch record{};
    notifier_block a = {nothing, nullptr, 0};
    ASSERT_EQ(chain->add(&a, WATCH_MASK_ALL, "a"), 0);
    const unsigned stride = stepper.stride([&] { chain->walk(init, record, own); });
    unsigned steps = 0;
    for (bool killed = true; killed; steps += stride) {
        chain->walk(init, record, own);
        killed = killed_after(stepper, steps, *chain, own);
        chain->release_down_to(own, 0);
        ASSERT_EQ(own.depth, 0);
        ASSERT_EQ(chain->remove(&a, own), 0) << "returns; after " << steps << " instructions";
        ASSERT_EQ(chain->add(&a, WATCH_MASK_ALL, "a"), 0);
    }
    EXPECT_GT(steps, 40u) << "it was a walk";
}

std::atomic<bool> unregistered;
std::atomic<unsigned> calls_too_late;

int expect_registered(notifier_block *, unsigned long, void *) {
    if (unregistered) ++calls_too_late;
    return NOTIFY_OK;
}

TEST_F(ChainSteps, AnotherThreadMayUnregisterAfterAnyInstructionOfAWalk) {
    Stepper stepper;
    auto chain = std::make_unique<Chain>();
    PinStack own{};
    task_watch record{};
    notifier_block a = {expect_registered, nullptr, 0};
    calls_too_late = 0;
    unregistered = false;
    ASSERT_EQ(chain->add(&a, WATCH_MASK_ALL, "a"), 0);
    const unsigned stride = stepper.stride([&] { chain->walk(init, record, own); });
    bool done = false;
    unsigned returned_at_once = 0, waited = 0;
    for (unsigned steps = 0; !done; steps += stride) {
        std::optional<Remover> remover;
        done = !stepper.run(
            steps, [&] { chain->walk(init, record, own); },
            [&] {
                remover.emplace(*chain, a);
                unregistered = remover->returned();
                ++(remover->returned() ? returned_at_once : waited);
            });
        if (done) break;
        ASSERT_EQ(remover->join(), 0);
        ASSERT_EQ(calls_too_late, 0u) << "after " << steps << " instructions";
        unregistered = false;
        ASSERT_EQ(chain->add(&a, WATCH_MASK_ALL, "a"), 0);
    }
    EXPECT_GT(returned_at_once, 10u) << "before the pin, and after it";
    EXPECT_GT(waited, 10u);
}

// In a forked child: whether the block is in the chain or not, all that the chain says agrees.
std::string inconsistency(Chain &chain, notifier_block *nb) {
    PinStack own{};
    task_watch record{};
    notifier_block extra = {nothing, nullptr, 1};
    const bool in = chain.name_of(nb, own) != nullptr;
    if (chain.wanted() != (in ? WATCH_MASK_INIT | WATCH_MASK_EXEC : WATCH_MASK_INIT)) return "wanted";
    Walk nobodys = {.action = WATCH_TASK_UID, .need = WATCH_MASK_UID};
    if (chain.walk(nobodys, record, own).serial != chain.walk(init, record, own).serial) return "serial";
    if (chain.add(&extra, WATCH_MASK_INIT, "extra") != 0) return "add";
    if ((in ? chain.remove(nb, own) : chain.add(nb, WATCH_MASK_EXEC, "b")) != 0) return "add or remove";
    if (chain.remove(&extra, own) != 0) return "remove";
    return "";
}

std::string forked(Chain &chain, notifier_block *nb) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        chain.after_fork_in_child({});
        std::string wrong = inconsistency(chain, nb);
        _exit(write(STDERR_FILENO, wrong.data(), wrong.size()) < 0 || !wrong.empty());
    }
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status == 0 ? "" : "wait status " + std::to_string(status);
}

TEST_F(ChainSteps, AnotherThreadMayForkAfterAnyInstructionOfARegistration) {
    Stepper stepper;
    for (bool taking_out : {false, true}) {
        bool done = false;
        for (unsigned steps = 0, stride = 0; !done; steps += stride) {
            auto chain = std::make_unique<Chain>();
            notifier_block a = {nothing, nullptr, 0}, b = {nothing, nullptr, 0};
            ASSERT_EQ(chain->add(&a, WATCH_MASK_INIT, "a"), 0);
            // Without the wait: its loop over all readers has nothing that a fork could disturb.
            PinStack inside{.pins = {}, .depth = 1};
            auto add = [&] { EXPECT_EQ(chain->add(&b, WATCH_MASK_EXEC, "b"), 0); };
            auto remove = [&] { EXPECT_EQ(chain->remove(&b, inside), 0); };
            auto change = [&] { taking_out ? remove() : add(); };
            if (taking_out) add();
            if (stride == 0) {
                stride = stepper.stride(change);
                continue;
            }
            done = !stepper.run(steps - stride, change, [&] {
                std::thread([&] { EXPECT_EQ(forked(*chain, &b), "") << "after " << steps; }).join();
            });
            ASSERT_FALSE(HasFailure());
        }
    }
}

}  // namespace

#endif
