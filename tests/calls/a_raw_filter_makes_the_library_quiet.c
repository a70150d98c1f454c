/* SPDX-License-Identifier: MIT */
/*
 * A seccomp filter that is installed through syscall(2), by seccomp or prctl: from then on the library makes no
 * system call that it has not made before (a gate, a probe), and says so. One that the kernel refuses changes
 * nothing, also for later images.
 *
 * watched: part
 * owed: 3
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "check.h"

/* Everything but: new mappings, opening of files. They fail with a number of their own. */
static struct sock_filter rules[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
};
static struct sock_fprog program = {sizeof rules / sizeof *rules, rules};

static void filter_and_fork(int by_prctl)
{
    uint32_t mark;
    pid_t child;

    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    /* Refused: nothing is there at this address. */
    if (by_prctl)
        CHECK_EQUAL(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0), -1);
    else
        CHECK_EQUAL(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), -1);
    CHECK_EQUAL(errno, EFAULT);
    mark = events_so_far();
    child = fork();
    if (child == 0) {
        char path[4096];

        /* The next image is not quiet either. */
        snprintf(path, sizeof path, "%s/target", getenv("TEST_BUILD"));
        execl(path, "target", "events", "init clone exec", (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK_EQUAL(event_number(mark + 1)->context, 0);

    if (by_prctl)
        CHECK_EQUAL(syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
    else
        CHECK_EQUAL(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
    CHECK_EQUAL(open("/dev/null", O_RDONLY), -1);
    CHECK_EQUAL(errno, EXDEV);
    mark = events_so_far();
    child = (pid_t)syscall(SYS_fork);
    if (child == 0)
        syscall(SYS_exit_group, 3);
    CHECK_EQUAL(status_of(child), exited(3));
    CHECK_EQUAL(event_number(mark)->event, WATCH_TASK_INIT);
    CHECK(event_number(mark)->context & TASKWATCH_QUIET);
    _exit(0);
}

int main(void)
{
    for (int by_prctl = 0; by_prctl < 2; by_prctl++) {
        pid_t child = fork();

        if (child == 0)
            filter_and_fork(by_prctl);
        CHECK_EQUAL(status_of(child), 0);
    }
    return 0;
}
