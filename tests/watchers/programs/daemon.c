/* SPDX-License-Identifier: MIT */
/*
 * A daemon that gives up root, in the right way or wrong in one: daemon HOW. It then makes a child, executes
 * something and ends, as far as it can.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static int is(const char *how, const char *what)
{
    return strcmp(how, what) == 0;
}

static void go_on(void)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

static void give_up_capability_to_set_ids(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1u << CAP_SETUID);
    data[0].permitted &= ~(1u << CAP_SETUID);
    syscall(SYS_capset, &header, data);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "right";
    gid_t group = NOBODY;
    int failed = 0;

    if (!is(how, "groups") && setgroups(1, &group) != 0)
        return 1;
    if (is(how, "order")) {
        if (setresuid(NOBODY, NOBODY, NOBODY) != 0)
            return 1;
        return setresgid(NOBODY, NOBODY, NOBODY) == 0; /* too late: it gives up */
    }
    if (setresgid(NOBODY, NOBODY, is(how, "saved-group") ? 0 : NOBODY) != 0)
        return 1;
    if (is(how, "saved")) {
        failed = setresuid(NOBODY, NOBODY, 0);
    } else if (is(how, "fs")) {
        failed = seteuid(NOBODY);
        setfsuid(0); /* serves a file as root */
        failed |= setresuid(NOBODY, NOBODY, NOBODY);
    } else if (is(how, "regain") || is(how, "regain-killed") || is(how, "regain-exec") || is(how, "restored")) {
        failed = seteuid(NOBODY);
    } else if (is(how, "capabilities")) {
        prctl(PR_SET_KEEPCAPS, 1);
        failed = setuid(NOBODY);
    } else if (is(how, "unchecked") || is(how, "unchecked-exec") || is(how, "checked")) {
        give_up_capability_to_set_ids();
        if (setuid(NOBODY) != 0 && is(how, "checked"))
            return 3;
    } else {
        failed = setresuid(NOBODY, NOBODY, NOBODY);
    }
    if (failed)
        return 1;
    if (is(how, "regain-killed"))
        raise(SIGKILL);
    if (is(how, "regain"))
        return 0;
    if (is(how, "regain-exec") || is(how, "unchecked-exec")) {
        execl("/bin/true", "true", NULL);
        return 1;
    }
    if (is(how, "restored") && (seteuid(0) != 0 || setuid(NOBODY) != 0))
        return 1;
    /* Good practice: it must not work. */
    if (is(how, "right") && (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0))
        return 1;
    go_on();
    return 0;
}
