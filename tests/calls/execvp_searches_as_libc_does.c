/* SPDX-License-Identifier: MIT */
/*
 * execvp, execvpe and execlp find the same file, or fail with the same errno, with and without the library:
 * PATH with empty, missing and forbidden folders, no PATH, a file without `#!` (run by sh), a folder, a name
 * with a slash.
 *
 * compare: bare
 */
#include <sys/stat.h>

#include "check.h"

static void write_file(const char *name, const char *text, int mode)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQUAL(fchmod(fd, (mode_t)mode), 0);
    CHECK_EQUAL(close(fd), 0);
}

static void run(const char *path, const char *file, int way)
{
    char *const argv[] = {(char *)file, "x", "y z", NULL};
    char *const envp[] = {"PATH=/nowhere", "A=b", NULL};
    pid_t child;

    printf("PATH=%s %s by %d: ", path ? path : "(unset)", file, way);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        if (path)
            setenv("PATH", path, 1);
        else
            unsetenv("PATH");
        if (way == 0)
            execvp(file, argv);
        else if (way == 1)
            execvpe(file, argv, envp);
        else
            execlp(file, file, "x", "y z", (char *)NULL);
        printf("%s\n", strerrorname_np(errno));
        fflush(stdout);
        _exit(127);
    }
    printf("status %x\n", status_of(child));
    fflush(stdout);
}

int main(void)
{
    static const char *const paths[] = {"a:b", "b:a", ":a", "a:", "missing:a", "none:a", "a/tw-script:b", "", NULL};
    static const char *const files[] = {"tw-script", "plain", "denied", "folder", "absent", "", "a/plain",
                                        "./a/denied", "true", "empty", "broken"};

    CHECK_EQUAL(mkdir("a", 0755) | mkdir("b", 0755) | mkdir("none", 0) | mkdir("b/folder", 0755), 0);
    write_file("a/tw-script", "#!/bin/sh\necho a/script \"$0\" \"$@\" A=$A PATH=$PATH\n", 0755);
    write_file("b/tw-script", "#!/bin/sh\necho b/script \"$0\" \"$@\"\n", 0755);
    write_file("a/plain", "echo plain \"$0\" \"$@\"\n", 0755);
    write_file("plain", "echo here \"$0\" \"$@\"\n", 0755);
    write_file("a/denied", "#!/bin/sh\n", 0644);
    write_file("b/denied", "#!/bin/sh\necho allowed\n", 0755);
    write_file("a/empty", "", 0755);
    write_file("a/broken", "#!/no/such/interpreter\n", 0755);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        for (size_t f = 0; f < sizeof files / sizeof *files; f++)
            for (int way = 0; way < 3; way++)
                run(paths[p], files[f], way);
    return 0;
}
