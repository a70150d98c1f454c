/* SPDX-License-Identifier: MIT */
/*
 * system, popen, daemon, forkpty and wordexp for the veto matrix. Each returns 0 or an errno; what it makes ends with 3.
 * system and pclose wait for it themselves: they leave the status in `shell_status`, -1 if another thread or the
 * kernel has taken the child.
 */
#ifndef TESTS_VETO_SHELLS_H
#define TESTS_VETO_SHELLS_H

#include <pty.h>
#include <wordexp.h>

#include "check.h"

#define STOP_ERROR EDQUOT

static int kernel_refuses; /* to make anything: these functions then say so in words of their own */
static int shell_status;

static int by_system(pid_t *pid)
{
    (void)pid;
    errno = 0;
    shell_status = system("exit 3");
    if (kernel_refuses)
        return shell_status == exited(127) ? EAGAIN : CHECK_FAILED;
    return shell_status == -1 && errno != ECHILD ? errno : 0;
}

static int by_null_system(pid_t *pid)
{
    int there;

    (void)pid;
    errno = 0;
    there = system(NULL);
    if (kernel_refuses)
        return there ? CHECK_FAILED : EAGAIN;
    shell_status = there ? exited(3) : -1;
    return there || errno == ECHILD ? 0 : errno;
}

static int closed(FILE *stream)
{
    if (!stream)
        return kernel_refuses && errno == ENOMEM ? EAGAIN : errno;
    errno = 0;
    shell_status = pclose(stream);
    return shell_status == -1 && errno != ECHILD ? errno : 0;
}

static int by_popen(pid_t *pid)
{
    (void)pid;
    return closed(popen("exit 3", "r"));
}

static int by_popen_to_write(pid_t *pid)
{
    (void)pid;
    return closed(popen("exit 3", "we"));
}

static int by_forkpty(pid_t *pid)
{
    int terminal = -7, error;
    char byte;

    *pid = forkpty(&terminal, NULL, NULL, NULL);
    if (*pid == 0)
        _exit(3);
    error = errno;
    if (*pid < 0)
        return terminal == -7 ? error : CHECK_FAILED;
    /* Until the child has let go of it: closed before, it would end it by SIGHUP. */
    CHECK_EQUAL(read(terminal, &byte, 1), -1);
    CHECK_EQUAL(errno, EIO);
    close(terminal);
    return 0;
}

static int by_daemon(pid_t *pid)
{
    *pid = daemon(1, 1);
    return *pid < 0 ? errno : CHECK_FAILED;
}

static int by_wordexp(pid_t *pid)
{
    wordexp_t words = {.we_wordc = 77};
    int result = wordexp("$(exit 3)", &words, 0);

    (void)pid;
    if (result != WRDE_NOSPACE)
        return CHECK_FAILED;
    return kernel_refuses ? EAGAIN : words.we_wordc == 77 ? STOP_ERROR : CHECK_FAILED;
}

#endif
