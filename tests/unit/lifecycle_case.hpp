// SPDX-License-Identifier: MIT
// The process's own chain with two watchers that write down what they are told, and a session.
#pragma once

#include <cstring>
#include <string>

#include "chain.hpp"
#include "ledger_case.hpp"
#include "lifecycle.hpp"
#include "process.hpp"

class WithLifecycle : public testing::Test {
  public:
    struct Watcher {
        notifier_block nb{called, nullptr, 0};
        std::string log;
        unsigned long stop_at = 0;  // event, with flags if any
        int value = NOTIFY_DONE;
        task_watch last{};
        std::string last_stopper;
        uint64_t blocked = 0;

        static int called(notifier_block *nb, unsigned long action, void *data) {
            auto *self = reinterpret_cast<Watcher *>(nb);
            self->last = *static_cast<task_watch *>(data);
            self->last_stopper = self->last.stopped_by ? self->last.stopped_by : "";
            self->log += (self->log.empty() ? "" : " ") + word(action);
            taskwatch::sys::call(SYS_rt_sigprocmask, 0, nullptr, &self->blocked, 8);
            errno = EXDEV;
            return action == self->stop_at ? self->value : NOTIFY_DONE;
        }
        static std::string word(unsigned long action) {
            static const struct {
                unsigned long bits;
                const char *text;
            } flags[] = {{WATCH_ON_BEHALF, "+behalf"}, {WATCH_ADOPTED, "+adopted"}, {WATCH_UNCHANGED, "+unchanged"},
                         {WATCH_BEFORE, "+before"},    {WATCH_FAILED, "+failed"},   {WATCH_STATUS_UNKNOWN, "+unknown"},
                         {WATCH_STOPPED, "+stopped"}};
            std::string text;
            switch (get_watch_event(action)) {
                case WATCH_TASK_INIT: text = "init"; break;
                case WATCH_TASK_CLONE: text = "clone"; break;
                case WATCH_TASK_EXEC: text = "exec"; break;
                case WATCH_TASK_UID: text = "uid"; break;
                case WATCH_TASK_GID: text = "gid"; break;
                case WATCH_TASK_EXIT: text = "exit"; break;
                case WATCH_TASK_FREE: text = "free"; break;
            }
            for (auto &flag : flags)
                if (action & flag.bits) text += flag.text;
            return text;
        }
    };

  protected:
    void SetUp() override {
        using namespace taskwatch;
        ASSERT_EQ(session.attached() ? 0 : session.found(getpid()), 0);
        ASSERT_EQ(chain.add(&first.nb, WATCH_MASK_ALL, "first"), 0);
        ASSERT_EQ(chain.add(&asks.nb, WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED, "asks"), 0);
        ensure_started();
        identify(self()).adopted = false;
        pthread_sigmask(SIG_BLOCK, nullptr, &mask_before);
    }
    void TearDown() override {
        using namespace taskwatch;
        EXPECT_EQ(chain.remove(&first.nb, self().pins), 0);
        EXPECT_EQ(chain.remove(&asks.nb, self().pins), 0);
        update_wanted();
        sigset_t mask;
        pthread_sigmask(SIG_BLOCK, nullptr, &mask);
        EXPECT_EQ(memcmp(&mask, &mask_before, 8), 0) << "the signal mask was not put back";
    }
    // The genuine session goes with this process, whatever happens.
    static void TearDownTestSuite() { taskwatch::session.close(); }

    Watcher first, asks;
    sigset_t mask_before;
};
