/* SPDX-License-Identifier: MIT */
/*
 * helpers: children that libc makes on a program's behalf (system, popen, daemon, forkpty), and those that a program
 * makes by syscall(), in all their ways to begin and end.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[100];

static void read_all(FILE *stream)
{
    while (fgets(text, sizeof text, stream))
        ;
}

static void use_system(void)
{
    int failed = system("exit 3") != 3 << 8;

    failed += system("/bin/true") != 0;
    failed += system("true | cat; (exit 4)") != 4 << 8;
    failed += system("kill -KILL $$") != SIGKILL;
    failed += system("no-such-command 2>/dev/null") != 127 << 8;
    failed += system(NULL) == 0;
    if (failed)
        exit(90);
}

static void use_popen(void)
{
    FILE *from = popen("echo a; exit 2", "r"), *to = popen("cat >/dev/null", "we"), *both;

    if (!from || !to)
        exit(91);
    both = popen("seq 3 | sort -r", "re");
    read_all(from);
    fputs("x\n", to);
    if (!both || pclose(from) != 2 << 8 || pclose(to) != 0)
        exit(92);
    read_all(both);
    if (pclose(both) != 0)
        exit(93);
}

/* The one that calls daemon() ends; the daemon tells it by the end of a pipe. */
static void use_daemon(void)
{
    int ends[2], status;
    char byte;
    pid_t pid;

    if (pipe(ends) != 0)
        exit(94);
    pid = fork();
    if (pid == 0) {
        close(ends[0]);
        if (daemon(1, 1) != 0)
            _exit(1);
        execl("/bin/sh", "sh", "-c", "exit 6", NULL);
        _exit(1);
    }
    close(ends[1]);
    waitpid(pid, &status, 0);
    if (status != 0 || read(ends[0], &byte, 1) != 0)
        exit(95);
    close(ends[0]);
}

static void use_forkpty(void)
{
    int terminal, status;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);

    if (pid == 0)
        execl("/bin/sh", "sh", "-c", "exit 7", NULL);
    if (pid <= 0 || waitpid(pid, &status, 0) != pid || status != 7 << 8)
        exit(96);
    close(terminal);
}

static void end_by_syscall(int way)
{
    char *arguments[] = {"true", NULL};

    if (way == 0)
        syscall(SYS_execve, "/bin/true", arguments, environ);
    else if (way == 1)
        syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environ, 0);
    else if (way == 2)
        syscall(SYS_exit, 8);
    syscall(SYS_exit_group, 9);
}

static void change_ids(void)
{
    int failed = (int)(syscall(SYS_setresgid, 0, 11, 0) + syscall(SYS_setresgid, 0, 0, 0));

    failed += (int)(syscall(SYS_setreuid, -1, 11) + syscall(SYS_setreuid, -1, 0));
    failed += (int)(syscall(SYS_setgid, 11) + syscall(SYS_setuid, 11));
    syscall(SYS_exit_group, failed ? 1 : 0);
}

static void use_syscall(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    int status;

    for (int way = 0; way < 4; way++) {
        if (syscall(SYS_fork) == 0)
            end_by_syscall(way);
        syscall(SYS_wait4, -1, &status, 0, NULL);
        if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
            end_by_syscall(way);
        syscall(SYS_waitid, P_ALL, 0, NULL, WEXITED, NULL);
        if (syscall(SYS_clone3, &arguments, sizeof arguments) == 0)
            end_by_syscall(way);
        waitpid(-1, &status, 0);
    }
    if (fork() == 0)
        change_ids();
    wait(&status);
    if (status != 0)
        exit(97);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "syscall") != 0) {
        use_system();
        use_popen();
        use_daemon();
        use_forkpty();
        return 38;
    }
    use_syscall();
    return 39;
}
