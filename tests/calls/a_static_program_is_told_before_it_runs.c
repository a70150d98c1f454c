/* SPDX-License-Identifier: MIT */
/*
 * An image that will not load the library is told to everybody by EXEC with BEFORE, as a forecast; its end
 * is told by its parent's wait. If the call fails after all, FAILED withdraws the forecast. The static program
 * finds no library in its LD_PRELOAD.
 *
 * main: exec exit free
 */
#include <sys/sendfile.h>

#include "check.h"

static void run(const char *path, const char *what, const char *argument)
{
    execl(path, "static", what, argument, (char *)NULL);
    _exit(errno == EACCES ? 13 : 126);
}

int main(void)
{
    char path[4096], output[64] = "";
    const struct record *forecast;
    int out[2], from, to;
    pid_t child;

    snprintf(path, sizeof path, "%s/target-static", getenv("TEST_BUILD"));
    child = fork();
    if (child == 0)
        run(path, "exit", "5");
    CHECK_EQUAL(status_of(child), exited(5));
    EXPECT_TASK(child, "init clone exec+before exit+behalf free+behalf");
    forecast = last_of(child, WATCH_TASK_EXEC);
    CHECK_EQUAL(forecast->context, TASKWATCH_FORECAST);
    CHECK_EQUAL(forecast->process, child);
    CHECK(strncmp(forecast->path, path, sizeof forecast->path - 1) == 0);
    CHECK_TEXT(forecast->argv0, "static");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXIT)->exit_status, exited(5));

    CHECK_EQUAL(pipe(out), 0);
    child = fork();
    if (child == 0) {
        dup2(out[1], STDOUT_FILENO);
        run(path, "environment", "LD_PRELOAD");
    }
    CHECK_EQUAL(status_of(child), 0);
    CHECK(read(out[0], output, sizeof output - 1) > 0);
    CHECK(strstr(output, "taskwatch") == NULL);

    /* The same file without the right to run it. */
    from = open(path, O_RDONLY | O_CLOEXEC);
    to = open("not_executable", O_WRONLY | O_CREAT | O_EXCL, 0644);
    while (sendfile(to, from, NULL, 1 << 20) > 0)
        ;
    CHECK_EQUAL(close(to), 0);
    child = fork();
    if (child == 0)
        run("./not_executable", "exit", "5");
    CHECK_EQUAL(status_of(child), exited(13));
    EXPECT_TASK(child, "init clone exec+before exec+failed exit free");
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXEC)->error, EACCES);
    CHECK_EQUAL(last_of(child, WATCH_TASK_EXEC)->context, TASKWATCH_FORECAST);
    return 0;
}
