// SPDX-License-Identifier: MIT
// What calls mean, without calling them: the genuine function is the test's own.
#include <sched.h>
#include <signal.h>

#include "lifecycle_case.hpp"

using namespace taskwatch;

namespace {

using LifecycleTest = WithLifecycle;

constexpr CreateCall fork_call{"fork", SIGCHLD};
constexpr pid_t nowhere = 0x3ffffff0;  // no pid of Linux's is so large

struct Fake {
    pid_t result;
    int error = 0;
    int calls = 0;
    uint64_t blocked = 0;
    static pid_t make(void *context) {
        auto *fake = static_cast<Fake *>(context);
        fake->calls++;
        sys::call(SYS_rt_sigprocmask, 0, nullptr, &fake->blocked, 8);
        if (fake->error) errno = fake->error;
        return fake->result;
    }
};

TEST_F(LifecycleTest, ACreationIsInitThenTheCallThenClone) {
    Fake fake{nowhere};
    errno = EDOM;
    EXPECT_EQ(create_process(fork_call, Fake::make, &fake), nowhere);
    EXPECT_EQ(errno, EDOM);
    EXPECT_EQ(fake.calls, 1);
    EXPECT_EQ(first.log, "init clone");
    EXPECT_EQ(first.last.pid, nowhere);
    EXPECT_EQ(first.last.tgid, nowhere);
    EXPECT_EQ(first.last.ppid, getpid());
    EXPECT_EQ(first.last.by, sys::gettid());
    EXPECT_STREQ(first.last.call, "fork");
    EXPECT_EQ(first.last.clone_flags, (uint64_t)SIGCHLD);
    constexpr uint64_t unblockable = sys::signal_bit(SIGKILL) | sys::signal_bit(SIGSTOP);
    EXPECT_EQ(fake.blocked, sys::all_signals & ~unblockable);
    EXPECT_EQ(first.blocked, sys::all_signals & ~unblockable);
    Task made;
    ASSERT_TRUE(ledger.find(nowhere, made));
    EXPECT_EQ(made.id, first.last.id);
    Claim claim;
    ASSERT_TRUE(ledger.claim_end(made, made, 0, claim));
    ledger.leave(claim);
}

TEST_F(LifecycleTest, ARefusedCallIsInitAndFree) {
    Fake fake{-1, EAGAIN};
    EXPECT_EQ(create_process(fork_call, Fake::make, &fake), -1);
    EXPECT_EQ(errno, EAGAIN);
    EXPECT_EQ(first.log, "init free");
    EXPECT_EQ(first.last.error, EAGAIN);
    EXPECT_EQ(first.last_stopper, "");
    EXPECT_EQ(ledger.living(), 1u) << "this process";
}

TEST_F(LifecycleTest, AStopAtInitMakesNoCall) {
    Fake fake{nowhere};
    first.stop_at = WATCH_TASK_INIT;
    first.value = notifier_from_errno(-EDQUOT);
    EXPECT_EQ(create_process(fork_call, Fake::make, &fake), -1);
    EXPECT_EQ(errno, EDQUOT);
    EXPECT_EQ(fake.calls, 0);
    EXPECT_EQ(first.log, "init free");
    EXPECT_EQ(asks.log, "free") << "it did not see INIT";
    EXPECT_EQ(first.last.error, EDQUOT);
    EXPECT_EQ(first.last_stopper, "first");
    EXPECT_EQ(ledger.living(), 1u);
}

TEST_F(LifecycleTest, AStopAtCloneFailsTheCall) {
    Fake fake{nowhere};  // there is nobody to end
    first.stop_at = WATCH_TASK_CLONE;
    first.value = NOTIFY_BAD;
    EXPECT_EQ(create_process(fork_call, Fake::make, &fake), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(first.log, "init clone free");
    EXPECT_EQ(asks.log, "init free");
    EXPECT_EQ(first.last.error, EPERM);
    EXPECT_EQ(ledger.living(), 1u);
}

TEST_F(LifecycleTest, InsideACallbackNothingIsWatched) {
    Fake fake{nowhere};
    self().in_callback++;
    EXPECT_EQ(create_process(fork_call, Fake::make, &fake), nowhere);
    self().in_callback--;
    EXPECT_EQ(fake.calls, 1);
    EXPECT_EQ(fake.blocked, 0u);
    EXPECT_EQ(first.log, "");
}

TEST_F(LifecycleTest, EachStopHasItsErrno) {
    EXPECT_EQ(errno_of_stop(NOTIFY_STOP), EAGAIN);
    EXPECT_EQ(errno_of_stop(NOTIFY_STOP_MASK), EAGAIN);
    EXPECT_EQ(errno_of_stop(NOTIFY_BAD), EPERM);
    EXPECT_EQ(errno_of_stop(-EACCES), EACCES);
    EXPECT_EQ(errno_of_stop(-1000000), EAGAIN);
    EXPECT_EQ(errno_of_stop(NOTIFY_STOP_MASK | 0x7fff0000), EAGAIN);
    for (int error : {1, EAGAIN, ENOMEM, EDQUOT, 4095}) EXPECT_EQ(errno_of_stop(notifier_from_errno(-error)), error);
}

TEST_F(LifecycleTest, AnEndIsToldOnceWhoeverComesFirst) {
    Fake fake{nowhere};
    ASSERT_EQ(create_process(fork_call, Fake::make, &fake), nowhere);
    Task task;
    ASSERT_TRUE(ledger.find(nowhere, task));
    first.log = "";
    end_reaped_child(nowhere, SIGKILL, "waitpid");
    EXPECT_EQ(first.log, "exit+behalf free+behalf");
    EXPECT_EQ(first.last.exit_status, SIGKILL);
    EXPECT_EQ(first.last.id, task.id);
    EXPECT_STREQ(first.last.call, "waitpid");
    end_reaped_child(nowhere, SIGKILL, "waitpid");
    end_on_behalf(task, {.call = "wait", .status = SIGKILL});
    end_task(self(), task, "_exit", 0, false);
    EXPECT_EQ(first.log, "exit+behalf free+behalf");
}

TEST_F(LifecycleTest, AnUnknownStatusIsSaidToBe) {
    Fake fake{nowhere};
    ASSERT_EQ(create_process(fork_call, Fake::make, &fake), nowhere);
    first.log = "";
    EXPECT_EQ(sweep_dead(), 1);
    EXPECT_EQ(first.log, "exit+behalf+unknown free+behalf+unknown");
    EXPECT_EQ(sweep_dead(), 0);
}

TEST_F(LifecycleTest, AReapedStrangerIsNotOurs) {
    end_reaped_child(nowhere, SIGKILL, "waitpid");
    EXPECT_EQ(first.log, "");
}

// --- ids

struct FakeIds {
    int result = 0;
    int error = 0;
    int calls = 0;
    static int call(void *context) {
        auto *fake = static_cast<FakeIds *>(context);
        fake->calls++;
        if (fake->error) errno = fake->error;
        return fake->result;
    }
    IdCall of(const char *name, uint32_t event, bool reads_back = false, uid_t filesystem_id = 0) {
        return {.name = name,
                .event = event,
                .reads_back = reads_back,
                .filesystem_id = filesystem_id,
                .genuine = call,
                .context = this};
    }
};

TEST_F(LifecycleTest, ASuccessThatChangesNothingIsSaidToBe) {
    FakeIds fake;
    errno = EDOM;
    EXPECT_EQ(change_ids(fake.of("setuid", WATCH_TASK_UID)), 0);
    EXPECT_EQ(errno, EDOM);
    EXPECT_EQ(fake.calls, 1);
    EXPECT_EQ(first.log, "uid+unchanged");
    EXPECT_EQ(asks.log, "uid+before uid+unchanged");
    EXPECT_EQ(first.last.ids.effective, geteuid());
    EXPECT_EQ(first.last.old_ids.filesystem, geteuid());
    EXPECT_STREQ(first.last.call, "setuid");
}

TEST_F(LifecycleTest, ARefusedChangeIsForThoseWhoAsked) {
    FakeIds fake{.result = -1, .error = EPERM};
    EXPECT_EQ(change_ids(fake.of("setregid", WATCH_TASK_GID)), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(first.log, "");
    EXPECT_EQ(asks.log, "gid+before gid+failed");
    EXPECT_EQ(asks.last.error, EPERM);
}

TEST_F(LifecycleTest, AChangeStoppedBeforeIsNotMade) {
    FakeIds fake;
    asks.stop_at = WATCH_TASK_UID | WATCH_BEFORE;
    asks.value = notifier_from_errno(-EDOM);
    EXPECT_EQ(change_ids(fake.of("setuid", WATCH_TASK_UID)), -1);
    EXPECT_EQ(errno, EDOM);
    EXPECT_EQ(fake.calls, 0);
    EXPECT_EQ(first.log, "");
    EXPECT_EQ(asks.log, "uid+before");
}

TEST_F(LifecycleTest, ForFilesystemIdsTheValueReadBackDecides) {
    uid_t own = geteuid();
    FakeIds fake{.result = (int)own};
    EXPECT_EQ(change_ids(fake.of("setfsuid", WATCH_TASK_UID, true, own)), (int)own);
    EXPECT_EQ(first.log, "uid+unchanged");
    first.log = asks.log = "";
    EXPECT_EQ(change_ids(fake.of("setfsuid", WATCH_TASK_UID, true, own + 1)), (int)own);
    EXPECT_EQ(first.log, "") << "the genuine call did not do it";
    EXPECT_EQ(asks.log, "uid+before uid+failed");
    asks.log = "";
    asks.stop_at = WATCH_TASK_UID | WATCH_BEFORE;
    asks.value = NOTIFY_BAD;
    errno = 0;
    EXPECT_EQ(change_ids(fake.of("setfsuid", WATCH_TASK_UID, true, own)), (int)own) << "there is no error to return";
    EXPECT_EQ(errno, 0);
    EXPECT_EQ(fake.calls, 2);
}

}  // namespace
