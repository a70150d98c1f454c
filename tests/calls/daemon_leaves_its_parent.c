/* SPDX-License-Identifier: MIT */
/*
 * daemon(): the child leads a session of its own, in / and with /dev/null as its first descriptors as asked for;
 * its parent has ended with 0, told, without what the program does at exit. What stands in /dev/null's place
 * by mistake is refused in the child. Compared with the same program without the library.
 *
 * compare: bare
 * main: exec exit free
 * needs: root
 */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "shell_text.h"

static int report[2];

static void at_exit(void) { CHECK(!"the parent of a daemon runs no exit handler"); }

/* In the daemon. */
static void describe(int result, int error)
{
    char text[512], folder[64], files[3][64];
    ssize_t n;

    for (int i = 0; i < 3; i++) {
        char path[32];

        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        n = readlink(path, files[i], sizeof files[i] - 1);
        files[i][n > 0 ? n : 0] = '\0';
        if (strncmp(files[i], "/dev/null", 9) != 0 && strncmp(files[i], "pipe:", 5) == 0)
            strcpy(files[i], "pipe");
    }
    CHECK(getcwd(folder, sizeof folder) != NULL);
    n = snprintf(text, sizeof text, "%d %d session %d, %s, %s %s %s\n", result, result ? error : 0, getsid(0) == getpid(),
                 strcmp(folder, "/") == 0 ? "root" : "where it was", files[0], files[1], files[2]);
    CHECK_EQUAL(write(report[1], text, (size_t)n), n);
}

static void run(const char *what, int nochdir, int noclose, void (*prepare)(void))
{
    uint32_t mark = under_preload() ? events_so_far() : 0;
    char text[512];
    ssize_t n;
    pid_t starter;

    CHECK_EQUAL(pipe(report), 0);
    fflush(stdout);
    starter = fork();
    if (starter == 0) {
        int result;

        close(report[0]);
        CHECK_EQUAL(atexit(at_exit), 0);
        if (prepare)
            prepare();
        errno = 0;
        result = daemon(nochdir, noclose);
        describe(result, errno);
        _exit(7);
    }
    close(report[1]);
    CHECK_EQUAL(status_of(starter), 0);
    if (under_preload()) {
        const struct record *exit = last_of(starter, WATCH_TASK_EXIT);

        EXPECT_TASK(starter, "init clone exit free");
        CHECK_TEXT(exit->call, "daemon");
        CHECK_EQUAL(exit->exit_status, 0);
        CHECK_EQUAL(exit->process, starter);
    }
    n = read(report[0], text, sizeof text - 1);
    CHECK(n > 0);
    text[n] = '\0';
    printf("%s: %s", what, text);
    /* Its end closes the pipe. */
    CHECK_EQUAL(await_byte(report[0]), 0);
    close(report[0]);
    for (uint32_t i = mark; under_preload() && i < events_so_far(); i++) {
        const struct record *r = event_number(i);

        if (r->event != WATCH_TASK_CLONE || r->ppid != starter)
            continue;
        CHECK_TEXT(r->call, "daemon");
        EXPECT_TASK(r->pid, "init clone exit free");
        mark = UINT32_MAX - 1;
    }
    CHECK(!under_preload() || mark == UINT32_MAX - 1);
}

static void with_a_file(void)
{
    CHECK(mkdir("dev", 0755) == 0 || errno == EEXIST);
    close(open("dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600));
    CHECK_EQUAL(chroot("."), 0);
}

/* /dev/zero's number. */
static void with_another_device(void)
{
    CHECK_EQUAL(unlink("dev/null"), 0);
    CHECK_EQUAL(mknod("dev/null", S_IFCHR | 0666, makedev(1, 5)), 0);
    CHECK_EQUAL(chroot("."), 0);
}

static void with_nothing(void)
{
    CHECK(mkdir("empty", 0755) == 0 || errno == EEXIST);
    CHECK_EQUAL(chroot("empty"), 0);
}

static void with_a_low_number(void) { close(0); }

int main(void)
{
    run("daemon(0, 0)", 0, 0, NULL);
    run("daemon(1, 0)", 1, 0, NULL);
    run("daemon(0, 1)", 0, 1, NULL);
    run("daemon(1, 1)", 1, 1, NULL);
    run("0 closed", 0, 0, with_a_low_number);
    run("/dev/null is a file", 0, 0, with_a_file);
    run("/dev/null is another device", 0, 0, with_another_device);
    run("no /dev/null", 0, 0, with_nothing);
    return 0;
}
