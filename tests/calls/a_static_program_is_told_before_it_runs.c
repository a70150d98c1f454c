/* SPDX-License-Identifier: MIT */
/*
 * An image that will not load the library is told to everybody by EXEC with BEFORE, as a forecast; its end
 * is told by its parent's wait. If the call fails after all, FAILED withdraws the forecast. What the static program
 * becomes goes on as the same task, what it starts is adopted.
 *
 * main: exec exit free
 */
#include <sys/sendfile.h>

#include "check.h"

static void run(const char *path, const char *what, const char *argument)
{
    char target[4096];

    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    execl(path, "static", what, argument ? argument : target, "exit", "6", (char *)NULL);
    _exit(errno == EACCES ? 13 : 126);
}

/* The only task that was adopted, other than this program's. */
static pid_t adopted(void)
{
    for (uint32_t i = 0; i < events_so_far(); i++)
        if ((event_number(i)->flags & WATCH_ADOPTED) && event_number(i)->pid != getpid())
            return event_number(i)->pid;
    return 0;
}

int main(void)
{
    char path[4096];
    const struct record *forecast;
    int from, to;
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

    child = fork();
    if (child == 0)
        run(path, "execute", NULL);
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exec+before exec exit free");

    CHECK_EQUAL(adopted(), 0);
    child = fork();
    if (child == 0)
        run(path, "start", NULL);
    CHECK_EQUAL(status_of(child), exited(6));
    EXPECT_TASK(child, "init clone exec+before exit+behalf free+behalf");
    CHECK(adopted() != 0);
    EXPECT_TASK(adopted(), "exec+adopted exit free");
    CHECK_EQUAL(last_of(adopted(), WATCH_TASK_EXIT)->exit_status, exited(6));

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
