/* SPDX-License-Identifier: MIT */
/*
 * forkpty(), by both of its symbol versions: the child has the terminal as its controlling one and as its first
 * descriptors, with the settings and the size given; the caller has the other end and no more. Told like a fork.
 * Compared with the same program without the library.
 *
 * compare: bare
 * main: exec exit free
 */
#include <pty.h>
#include <sys/ioctl.h>
#include <utmp.h>

#include "shell_text.h"

pid_t old_forkpty(int *terminal, char *name, const struct termios *termios, const struct winsize *size);
__asm__(".symver old_forkpty, forkpty@GLIBC_2.2.5");

typedef pid_t forkpty_function(int *terminal, char *name, const struct termios *termios, const struct winsize *size);

static int open_files(void)
{
    int count = 0;

    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void describe(void)
{
    struct winsize size = {0};
    struct termios settings;

    ioctl(0, TIOCGWINSZ, &size);
    CHECK_EQUAL(tcgetattr(0, &settings), 0);
    printf("terminals %d%d%d, session %d, foreground %d, %dx%d, echo %d, files %d", isatty(0), isatty(1), isatty(2),
           getsid(0) == getpid(), tcgetpgrp(0) == getpid(), size.ws_row, size.ws_col, !!(settings.c_lflag & ECHO),
           open_files());
    fflush(stdout);
}

static void run(forkpty_function *function)
{
    struct winsize size = {.ws_row = 7, .ws_col = 31};
    struct termios settings = {.c_cflag = CS8 | CREAD, .c_oflag = OPOST};
    char name[128] = "", text[256] = "";
    int terminal = -1, before = open_files();
    size_t used = 0;
    ssize_t n;
    pid_t child;

    cfsetspeed(&settings, B38400);
    fflush(stdout);
    errno = EDOM;
    child = function(&terminal, name, &settings, &size);
    if (child == 0) {
        describe();
        _exit(8);
    }
    CHECK(child > 0);
    CHECK_EQUAL(errno, EDOM);
    CHECK(strncmp(name, "/dev/pts/", 9) == 0);
    while ((n = read(terminal, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    printf("%s; one more here %d, cloexec %d, status %x\n", text, open_files() - before, fcntl(terminal, F_GETFD),
           (unsigned)status_of(child));
    close(terminal);
    if (under_preload()) {
        EXPECT_TASK(child, "init clone exit free");
        CHECK_TEXT(last_of(child, WATCH_TASK_CLONE)->call, "forkpty");
        CHECK_EQUAL(last_of(child, WATCH_TASK_CLONE)->process, getpid());
    }
}

int main(void)
{
    if (under_preload())
        recording();
    run(forkpty);
    run(old_forkpty);
    no_children_left();
    return 0;
}
