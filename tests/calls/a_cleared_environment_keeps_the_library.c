/* SPDX-License-Identifier: MIT */
/*
 * A program that passes an empty environment, none at all, or one with another LD_PRELOAD still gets the
 * library into its descendants; what was in LD_PRELOAD keeps its place. The passed vector and `environ` are
 * not changed, and nothing else appears in the new image's environment.
 *
 * main: exec exit free
 */
#include "check.h"

static char target[4096], output[8192];

/* What `file` prints, run with this environment. */
static const char *run(char *const *envp, const char *file, char *const *argv, const char *events)
{
    int out[2];
    ssize_t n;
    size_t length = 0;
    pid_t child;

    CHECK_EQUAL(pipe2(out, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        execve(file, argv, envp);
        _exit(126);
    }
    close(out[1]);
    while ((n = read(out[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)n;
    output[length] = '\0';
    close(out[0]);
    CHECK_EQUAL(status_of(child), 0);
    EXPECT_TASK(child, events);
    return output;
}

int main(void)
{
    char *const ask_preload[] = {"target", "environment", "LD_PRELOAD", NULL}, *const env[] = {"env", NULL};
    char *const empty[] = {NULL}, *const other[] = {"A=b", "LD_PRELOAD=libc.so.6 libpthread.so.0", "C=d", NULL};
    char *const same[] = {"A=b", "LD_PRELOAD=libc.so.6 libpthread.so.0", "C=d", NULL};
    char line[5000], *const env_i[] = {"env", "-i", "/usr/bin/env", NULL};
    const char *library = getenv("TEST_LIBRARY");

    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    snprintf(line, sizeof line, "%s\n", library);
    CHECK_TEXT(run(empty, target, ask_preload, "init clone exec exit free"), line);
    CHECK_TEXT(run(NULL, target, ask_preload, "init clone exec exit free"), line);
    snprintf(line, sizeof line, "LD_PRELOAD=%s\n", library);
    run(empty, "/usr/bin/env", env, "init clone exec exit free");
    CHECK(strstr(output, line) != NULL);
    for (const char *p = output; *p; p = strchr(p, '\n') + 1)
        CHECK(strncmp(p, "LD_PRELOAD=", 11) == 0 || strncmp(p, "TASKWATCH_", 10) == 0);
    run(other, target, ask_preload, "init clone exec exit free");
    CHECK(strstr(output, "libc.so.6 libpthread.so.0") != NULL);
    CHECK(strstr(output, library) != NULL);
    for (int i = 0; i < 3; i++)
        CHECK_TEXT(other[i], same[i]);

    /* env clears its own `environ` and execs: the second env is still told of. */
    run(environ, "/usr/bin/env", env_i, "init clone exec exec exit free");
    CHECK(strstr(output, "LD_PRELOAD=") != NULL);
    return 0;
}
