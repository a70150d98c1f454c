/* SPDX-License-Identifier: MIT */
/* A program for the debugger: one fork, vfork or syscall, from a function that a backtrace has to show. */
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noinline)) int make_child(int by_vfork)
{
    int status = 0;
    pid_t pid = by_vfork ? vfork() : fork();

    if (pid == 0)
        _exit(5);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

/* On a stack of its own syscall() returns to where the word at its top says. */
static char stack[65536] __attribute__((aligned(16)));

__attribute__((noinline, used)) void land(void)
{
    _exit(5);
}

#if defined(__x86_64__)
/* Not at a function's first byte: a return address is looked up one byte lower. */
extern char landing_point[];
__asm__(".text\n"
        ".type landing, @function\n"
        "landing: .cfi_startproc\n"
        ".cfi_undefined rip\n"
        "nop\n"
        "landing_point: push %rax\n"
        "call land\n"
        ".cfi_endproc\n"
        ".size landing, . - landing\n");
#else
#define landing_point land
#endif

__attribute__((noinline)) int make_raw(const char *how)
{
    struct clone_args on_stack = {.exit_signal = SIGCHLD, .flags = CLONE_VM, .stack = (uintptr_t)stack, .stack_size = sizeof stack - 16};
    int status = 0;
    long pid;

    *(uintptr_t *)(stack + sizeof stack - 16) = (uintptr_t)landing_point;
    if (strcmp(how, "syscall") == 0)
        pid = syscall(SYS_getppid, 0L) < 0;
    else if (strcmp(how, "syscall-fork") == 0)
        pid = syscall(SYS_fork, 0L);
    else if (strcmp(how, "syscall-vfork") == 0)
        pid = syscall(SYS_clone, (long)(CLONE_VM | CLONE_VFORK | SIGCHLD), 0L, 0L, 0L, 0L);
    else
        pid = syscall(SYS_clone3, &on_stack, sizeof on_stack);
    if (pid == 0 && strcmp(how, "syscall") != 0)
        _exit(5);
    waitpid((pid_t)pid, &status, 0);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strncmp(argv[1], "syscall", 7) == 0)
        return make_raw(argv[1]);
    return make_child(argc > 1 && strcmp(argv[1], "vfork") == 0);
}
