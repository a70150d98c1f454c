/* SPDX-License-Identifier: MIT */
/*
 * execve and execveat through syscall(2): EXEC in the new image, which keeps the library although the passed
 * environment has nothing of it; BEFORE and FAILED to those who asked, and a STOP at BEFORE fails the call.
 *
 * recorder: wants=all+before+failed
 */
#include "check.h"

static char path[4096];

static void check(int number, const char *sequence)
{
    static char *const argv[] = {"target", "events", "init clone exec+before exec", NULL}, *none[] = {NULL, NULL};
    pid_t child;
    uint32_t mark = events_so_far();

    snprintf(path, sizeof path, "TEST_FOLDER=%s", getenv("TEST_FOLDER"));
    none[0] = path;
    child = fork();
    if (child == 0) {
        const char *build = getenv("TEST_BUILD");
        char target[4200];

        snprintf(target, sizeof target, "%s/target", build);
        if (number == 0)
            syscall(SYS_execve, target, argv, none);
        else if (number == 1)
            syscall(SYS_execveat, AT_FDCWD, target, argv, none, 0);
        else if (number == 2)
            syscall(SYS_execveat, open(target, O_RDONLY), "", argv, none, AT_EMPTY_PATH);
        else {
            CHECK_EQUAL(chdir(build), 0);
            syscall(SYS_execveat, open("/", O_RDONLY | O_DIRECTORY), target + 1, argv, none, 0);
        }
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_SINCE(mark, sequence);
    CHECK_TEXT(event_number(mark + 2)->call, number == 0 ? "SYS_execve" : "SYS_execveat");
    CHECK_TEXT(event_number(mark + 2)->argv0, "target");
}

int main(void)
{
    static char *const argv[] = {"true", NULL};
    uint32_t mark;

    for (int number = 0; number < 4; number++)
        check(number, "init clone exec+before exec exit free");
    mark = events_so_far();
    errno = 0;
    CHECK_EQUAL(syscall(SYS_execve, "/nonexistent/file", argv, environ), -1);
    CHECK_EQUAL(errno, ENOENT);
    EXPECT_SINCE(mark, "exec+before exec+failed");
    CHECK_EQUAL(event_number(mark + 1)->error, ENOENT);
    stop_at(WATCH_MASK_EXEC, notifier_from_errno(-EXDEV));
    CHECK_EQUAL(syscall(SYS_execve, "/bin/true", argv, environ), -1);
    CHECK_EQUAL(errno, EXDEV);
    CHECK_EQUAL(syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, environ, 0), -1);
    CHECK_EQUAL(errno, EXDEV);
    stop_nothing();
    return 0;
}
