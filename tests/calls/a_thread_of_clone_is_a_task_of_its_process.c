/* SPDX-License-Identifier: MIT */
/*
 * A thread that a program makes by clone itself, on its creator's storage: a task with its own id and the
 * process's tgid; its end is told before its word is cleared, and its process lives on. One with storage of
 * its own is told of at the latest when the process ends.
 *
 * main: exec exit free
 */
#include <sched.h>
#include <time.h>

#include "check.h"

#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)

static char stack[65536] __attribute__((aligned(16)));
static char storage[16384] __attribute__((aligned(64)));
static pid_t tid_word;
static volatile pid_t seen_tid;

static int thread(void *unused)
{
    (void)unused;
    /* Not gettid(): with storage of its own there may be nothing of libc's in it. */
    __asm__ volatile("syscall" : "=a"(seen_tid) : "a"(SYS_gettid) : "rcx", "r11", "memory");
    return 0;
}

static void await_end(void)
{
    pid_t tid;

    while ((tid = __atomic_load_n(&tid_word, __ATOMIC_SEQ_CST)) != 0)
        syscall(SYS_futex, &tid_word, FUTEX_WAIT, tid, NULL, NULL, 0);
}

int main(void)
{
    const int words = CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    /* Its header as libc's own looks: the block's address in it twice. */
    char *block = storage + 8192;
    pid_t tid;

    tid = clone(thread, stack + sizeof stack, THREAD | words, NULL, &tid_word, NULL, &tid_word);
    CHECK(tid > 0);
    await_end();
    CHECK_EQUAL(seen_tid, tid);
    EXPECT_TASK(tid, "init clone exit free");
    CHECK_EQUAL(last_of(tid, WATCH_TASK_CLONE)->tgid, getpid());
    CHECK_EQUAL(last_of(tid, WATCH_TASK_CLONE)->parent_id, newest_id_of(getpid()));
    CHECK_EQUAL(last_of(tid, WATCH_TASK_EXIT)->tid, tid);
    CHECK(last_of(tid, WATCH_TASK_EXIT)->context & TASKWATCH_FOREIGN_TLS);

    memcpy(block, (void *)__builtin_thread_pointer(), 64);
    ((void **)block)[0] = ((void **)block)[2] = block;
    tid = clone(thread, stack + sizeof stack, THREAD | words | CLONE_SETTLS, NULL, &tid_word, block, &tid_word);
    CHECK(tid > 0);
    await_end();
    CHECK_EQUAL(seen_tid, tid);
    CHECK_EQUAL(last_of(tid, WATCH_TASK_CLONE)->tgid, getpid());
    return 0;
}
