/* SPDX-License-Identifier: MIT */
/*
 * Under a seccomp filter that kills at what the library alone would ask for, system() and popen() work as
 * without it: libc makes the shell, and the shell knows that it is to be quiet, also with an environment that the
 * program has cleared. INIT and FREE are told in the caller.
 *
 * main: exec exit free
 * watched: part
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "check.h"

#define KILL(number) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static void enter_sandbox(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        KILL(SYS_shmget),
        KILL(SYS_shmat),
        KILL(SYS_shmctl),
        KILL(SYS_waitid),
        KILL(SYS_tgkill),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};

    CHECK_EQUAL(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQUAL(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

static void run_shells(void)
{
    char text[16];
    uint32_t mark = events_so_far();
    FILE *stream;

    CHECK_EQUAL(system("exit 3"), exited(3));
    CHECK_EQUAL(event_number(mark)->event, WATCH_TASK_INIT);
    CHECK_TEXT(event_number(mark)->call, "system");
    CHECK_EQUAL(event_number(mark + 1)->event, WATCH_TASK_FREE);
    stream = popen("echo said; exit 4", "r");
    CHECK(stream != NULL);
    CHECK(fgets(text, sizeof text, stream) != NULL);
    CHECK_TEXT(text, "said\n");
    CHECK_EQUAL(pclose(stream), exited(4));
    stop_at(WATCH_MASK_INIT, NOTIFY_BAD);
    CHECK_EQUAL(system("exit 3"), -1);
    CHECK_EQUAL(errno, EPERM);
    CHECK(popen("exit 3", "w") == NULL);
    CHECK_EQUAL(errno, EPERM);
    stop_nothing();
}

int main(void)
{
    pid_t sandboxed = fork();

    if (sandboxed == 0) {
        enter_sandbox();
        run_shells();
        CHECK_EQUAL(clearenv(), 0);
        run_shells();
        _exit(7);
    }
    CHECK_EQUAL(status_of(sandboxed), exited(7));
    return 0;
}
