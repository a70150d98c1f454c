/* SPDX-License-Identifier: MIT */
/*
 * What syscall(2) does for everything else, and for a watched call that the kernel refuses, is what it does without
 * the library: all six arguments arrive, the result is the kernel's, errno is set on failure and kept otherwise.
 *
 * compare: bare
 * stdout: any
 */
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/select.h>

#include "check.h"

static void say(const char *what, long result)
{
    printf("%s: %ld, errno %d\n", what, result, errno);
    errno = 77;
}

#define SAY(number, ...) say(#number, syscall(number, __VA_ARGS__))
#define SAY_ALONE(number) say(#number, syscall(number)) /* without arguments */

int main(void)
{
    char *page, byte;
    int ends[2], zero = open("/dev/zero", O_RDONLY);
    sigset_t none;
    struct {
        const sigset_t *set;
        size_t size;
    } sixth = {&none, 8};
    struct timespec now = {0, 0};
    fd_set set;
    void *nowhere = (void *)8;

    errno = 77;
    /* The sixth argument: an offset, a pointer. */
    page = (char *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0L);
    say("mmap", page != MAP_FAILED && page[4095] == 0);
    SAY(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, zero, 1L);
    CHECK_EQUAL(pipe(ends), 0);
    sigemptyset(&none);
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    SAY(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &now, &sixth);
    sixth.size = 7;
    SAY(SYS_pselect6, ends[0] + 1, &set, NULL, NULL, &now, &sixth);
    CHECK_EQUAL(write(ends[1], "x", 1), 1);
    SAY(SYS_read, ends[0], &byte, 1);
    SAY(SYS_read, -1, &byte, 1);
    SAY(SYS_getpriority, PRIO_PROCESS, 0);
    SAY(SYS_lseek, zero, -1L, SEEK_SET);
    /* No such system calls: around the table's end, beyond 32 bits. */
    SAY_ALONE(511);
    SAY_ALONE(512);
    SAY_ALONE(100000);
    SAY_ALONE(-1);
    say("beyond 32 bits", syscall((1L << 40) | SYS_close, -1));

    /* Watched, and refused by the kernel. */
    SAY(SYS_clone, CLONE_THREAD | SIGCHLD, NULL, NULL, NULL, 0L);
    SAY(SYS_clone, CLONE_SIGHAND | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, 0L);
    SAY(SYS_clone, CLONE_VM | CLONE_VFORK | CLONE_NEWNS | CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0L);
    SAY(SYS_clone3, NULL, 0L);
    SAY(SYS_clone3, NULL, sizeof(struct clone_args));
    SAY(SYS_clone3, nowhere, sizeof(struct clone_args));
    SAY(SYS_clone3, nowhere, 8L);
    SAY(SYS_execve, "/nonexistent", NULL, NULL);
    SAY(SYS_execve, NULL, NULL, NULL);
    SAY(SYS_execve, nowhere, NULL, NULL);
    SAY(SYS_execve, "/etc/passwd", NULL, NULL);
    SAY(SYS_execveat, -1, "true", NULL, NULL, 0);
    SAY(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 1 << 30);
    SAY(SYS_wait4, -1, NULL, 0, NULL);
    SAY(SYS_wait4, -1, NULL, 1 << 30, NULL);
    SAY(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL);
    SAY(SYS_waitid, P_ALL, 0, NULL, 0, NULL);
    SAY(SYS_setresuid, -1, -1, -1);
    SAY(SYS_setresgid, -1, -1, -1);
    SAY(SYS_setfsuid, -1);
    SAY(SYS_setfsgid, -1);
    SAY(SYS_prctl, PRIO_PROCESS + 12345, 0, 0, 0, 0);
    SAY(SYS_prctl, 22 /* PR_SET_SECCOMP */, 2, NULL, 0, 0);
    SAY(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, NULL);
    SAY(SYS_seccomp, 99, 0, NULL);
    return 0;
}
