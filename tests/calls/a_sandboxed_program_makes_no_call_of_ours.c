/* SPDX-License-Identifier: MIT */
/*
 * Under a seccomp filter that kills at every system call but those that the genuine functions make, a program
 * forks, waits, changes its ids and exits as without the library, and what is told says that it was not held.
 *
 * main: exec exit free
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "check.h"

#define ALLOW(number) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void enter_sandbox(void)
{
    /* fork: clone, in the child set_robust_list; waitpid: wait4; the checks below: write and read. */
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_clone),
        ALLOW(SYS_set_robust_list),
        ALLOW(SYS_wait4),
        ALLOW(SYS_setuid),
        ALLOW(SYS_exit_group),
        ALLOW(SYS_write),
        ALLOW(SYS_read),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

int main(void)
{
    pid_t sandboxed = fork();
    int status = 0, told[2];

    if (sandboxed == 0) {
        CHECK_EQUAL(pipe(told), 0);
        enter_sandbox();
        pid_t child = fork();
        if (child == 0) {
            await_byte(told[0]); /* it is not held: its end could be told before its CLONE */
            _exit(3);
        }
        CHECK(child > 0);
        send_byte(told[1], 1);
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK_EQUAL(status, 3 << 8);
        CHECK_EQUAL(setuid(0), 0);
        _exit(7);
    }
    CHECK_EQUAL(waitpid(sandboxed, &status, 0), sandboxed);
    CHECK_EQUAL(status, 7 << 8);
    EXPECT_TASK(sandboxed, "init clone exit free");
    return 0;
}
