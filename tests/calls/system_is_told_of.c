/* SPDX-License-Identifier: MIT */
/*
 * The shell of system() and popen() is a task: INIT in the caller, CLONE in the child, EXEC in the shell, named
 * after the call, with libc's arguments. If the shell is killed, EXIT and FREE are told on its behalf before
 * system, pclose or fclose returns. An environment that the program has cleared keeps the library.
 *
 * main: exec exit free
 */
#include "check.h"

static uint32_t mark;

static void check_told(const char *call, const char *ended_by, int status)
{
    const struct record *clone = event_number(mark + 1);

    EXPECT_SINCE(mark, ended_by ? "init clone exec exit+behalf free+behalf" : "init clone exec exit free");
    CHECK_TEXT(event_number(mark)->call, call);
    CHECK_EQUAL(event_number(mark)->process, getpid());
    CHECK_TEXT(clone->call, call);
    CHECK_EQUAL(clone->by, gettid());
    CHECK_EQUAL(clone->context, TASKWATCH_IN_VFORK_CHILD);
    CHECK_EQUAL(clone->process, clone->pid);
    CHECK_TEXT(event_number(mark + 2)->argv0, "sh");
    CHECK_EQUAL(event_number(mark + 3)->exit_status, status);
    CHECK_TEXT(event_number(mark + 4)->call, ended_by ? ended_by : event_number(mark + 4)->call);
    CHECK_EQUAL(event_number(mark + 4)->process, ended_by ? getpid() : clone->pid);
    no_children_left();
    mark = events_so_far();
}

static FILE *opened(const char *command)
{
    FILE *stream = popen(command, "r");

    CHECK(stream != NULL);
    return stream;
}

static void run_all(void)
{
    mark = events_so_far();
    CHECK_EQUAL(system(NULL), 1);
    check_told("system", NULL, 0);
    CHECK_EQUAL(system("exit 3"), exited(3));
    check_told("system", NULL, exited(3));
    CHECK_EQUAL(system("kill -9 $$"), SIGKILL);
    check_told("system", "system", SIGKILL);
    CHECK_EQUAL(pclose(opened("exit 4")), exited(4));
    check_told("popen", NULL, exited(4));
    CHECK_EQUAL(pclose(opened("kill -9 $$")), SIGKILL);
    check_told("popen", "pclose", SIGKILL);
    CHECK_EQUAL(fclose(opened("kill -9 $$")), SIGKILL);
    check_told("popen", "pclose", SIGKILL);
}

int main(void)
{
    /* The files are found by a variable that will be gone. */
    recording();
    run_all();
    CHECK_EQUAL(clearenv(), 0);
    run_all();
    return 0;
}
