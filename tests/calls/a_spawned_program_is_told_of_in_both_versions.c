/* SPDX-License-Identifier: MIT */
/*
 * posix_spawn and posix_spawnp, in both of libc's versions: INIT in the caller, CLONE in the child before any
 * file action, EXEC in the new image. The old versions run a file without `#!` by the shell, the new ones say
 * ENOEXEC. A program that cannot be executed has lived and ended with 127.
 *
 * main: exec exit free
 */
#include <dlfcn.h>
#include <spawn.h>
#include <sys/stat.h>

#include "check.h"

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const *, char *const *);

static void spawn_it(spawn_function *function, const char *call)
{
    char *const argv[] = {"sh", "-c", "exit 4", NULL};
    uint32_t mark = events_so_far();
    const struct record *clone;
    pid_t child = 0;

    CHECK_EQUAL(function(&child, "/bin/sh", NULL, NULL, argv, environ), 0);
    CHECK_EQUAL(status_of(child), exited(4));
    EXPECT_SINCE(mark, "init clone exec exit free");
    CHECK_TEXT(event_number(mark)->call, call);
    CHECK_EQUAL(event_number(mark)->process, getpid());
    clone = event_number(mark + 1);
    CHECK_EQUAL(clone->pid, child);
    CHECK_EQUAL(clone->process, child);
    CHECK_EQUAL(clone->by, gettid());
    CHECK_EQUAL(clone->context, TASKWATCH_IN_VFORK_CHILD);
    CHECK_EQUAL(event_number(mark + 2)->id, clone->id);
    no_children_left();
}

static void spawn_what_is_missing(spawn_function *function)
{
    char *const argv[] = {"file", NULL};
    uint32_t mark = events_so_far();
    pid_t child = -7;

    CHECK_EQUAL(function(&child, "/no/such/file", NULL, NULL, argv, environ), ENOENT);
    CHECK_EQUAL(child, -7);
    EXPECT_SINCE(mark, "init clone exit+behalf free+behalf");
    CHECK_EQUAL(event_number(mark + 2)->exit_status, exited(127));
    no_children_left();
}

static void spawn_a_bare_script(spawn_function *function, int falls_back)
{
    char *const argv[] = {"script", NULL};
    pid_t child = -7;

    if (falls_back) {
        CHECK_EQUAL(function(&child, "./script", NULL, NULL, argv, environ), 0);
        CHECK_EQUAL(status_of(child), exited(6));
        EXPECT_TASK(child, "init clone exec exit free");
    } else {
        CHECK_EQUAL(function(&child, "./script", NULL, NULL, argv, environ), ENOEXEC);
    }
    no_children_left();
}

int main(void)
{
    static const struct {
        const char *name, *version;
    } functions[] = {{"posix_spawn", "GLIBC_2.15"},
                     {"posix_spawnp", "GLIBC_2.15"},
                     {"posix_spawn", "GLIBC_2.2.5"},
                     {"posix_spawnp", "GLIBC_2.2.5"}};
    int fd = open("script", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

    CHECK_EQUAL(write(fd, "exit 6\n", 7), 7);
    close(fd);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        spawn_function *function =
            (spawn_function *)(uintptr_t)dlvsym(RTLD_DEFAULT, functions[i].name, functions[i].version);

        CHECK(function != NULL);
        spawn_it(function, functions[i].name);
        spawn_what_is_missing(function);
        spawn_a_bare_script(function, strcmp(functions[i].version, "GLIBC_2.2.5") == 0);
    }
    return 0;
}
