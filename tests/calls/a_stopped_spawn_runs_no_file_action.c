/* SPDX-License-Identifier: MIT */
/*
 * A spawn that is stopped, at INIT or at CLONE, has run no file action: no file made or truncated. The
 * program gets no SIGCHLD, pid stays as it was, and nothing is left to wait for.
 *
 * main: exec exit free
 */
#include <spawn.h>
#include <sys/stat.h>

#include "check.h"

static volatile sig_atomic_t announced;

static void handler(int number)
{
    (void)number;
    announced++;
}

static long size_of(const char *name)
{
    struct stat st;

    return stat(name, &st) == 0 ? (long)st.st_size : -1;
}

int main(void)
{
    static const uint32_t when[] = {WATCH_MASK_INIT, WATCH_MASK_CLONE};
    char *const argv[] = {"true", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid = -7;
    int fd = open("old", O_WRONLY | O_CREAT, 0600);

    CHECK_EQUAL(write(fd, "contents", 8), 8);
    close(fd);
    CHECK(signal(SIGCHLD, handler) != SIG_ERR);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "old", O_WRONLY | O_TRUNC, 0);
    posix_spawn_file_actions_addopen(&actions, 6, "new", O_WRONLY | O_CREAT, 0600);
    for (size_t i = 0; i < 2; i++) {
        stop_at(when[i], NOTIFY_BAD);
        CHECK_EQUAL(posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ), EPERM);
        CHECK_EQUAL(posix_spawnp(&pid, "true", &actions, NULL, argv, environ), EPERM);
        CHECK_EQUAL(pid, -7);
        CHECK_EQUAL(size_of("old"), 8);
        CHECK_EQUAL(size_of("new"), -1);
        CHECK_EQUAL(announced, 0);
        no_children_left();
    }
    stop_nothing();
    CHECK_EQUAL(posix_spawn(&pid, "/bin/true", &actions, NULL, argv, environ), 0);
    CHECK_EQUAL(status_of(pid), 0);
    CHECK_EQUAL(size_of("old"), 0);
    CHECK_EQUAL(size_of("new"), 0);
    return 0;
}
