/* SPDX-License-Identifier: MIT */
/*
 * system, popen, daemon, forkpty and wordexp, each stopped at INIT, stopped at CLONE, and let go, while SIGCHLD is
 * handled, while another thread has it open, and while another thread waits for anybody: each fails in its own
 * way with the watcher's errno, nobody is sent a SIGCHLD or gets a child that was not to be, no descriptor is left,
 * and the three watchers are told what they should be.
 *
 * watchers: recorder second third
 * recorder: priority=10
 * third: priority=observer
 * main: exec exit free
 */
#include <pty.h>
#include <wordexp.h>

#include "veto_situations.h"

#define STOP_ERROR EDQUOT
#define ROUNDS 12

/* Status of a child that was made: it is reaped by the call, or by the other thread of the situation. */
static void check_reaped(int status, int wanted)
{
    if (status == -1 && situation->reaping == REAP_ANY) {
        CHECK_EQUAL(errno, ECHILD);
        return;
    }
    CHECK_EQUAL(status, wanted);
}

/* Each makes a child, sees to its end, and returns 0; or errno. */

static int by_system(void)
{
    int status;

    errno = 0;
    status = system("exit 3");
    if (status == -1 && errno == STOP_ERROR)
        return errno;
    check_reaped(status, exited(3));
    return 0;
}

static int by_null_system(void)
{
    int there;

    errno = 0;
    there = system(NULL);
    if (there == 0 && errno == STOP_ERROR)
        return errno;
    if (situation->reaping != REAP_ANY)
        CHECK_EQUAL(there, 1);
    return 0;
}

static int by_popen(void)
{
    FILE *stream = popen("exit 3", "r");

    if (!stream)
        return errno;
    check_reaped(pclose(stream), exited(3));
    return 0;
}

static int by_popen_to_write(void)
{
    FILE *stream = popen("exit 3", "we");

    if (!stream)
        return errno;
    check_reaped(pclose(stream), exited(3));
    return 0;
}

static int by_forkpty(void)
{
    int terminal = -7, status = -1;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);

    if (child == 0)
        _exit(3);
    if (child < 0) {
        int error = errno;

        CHECK_EQUAL(terminal, -7);
        return error;
    }
    check_reaped(waitpid(child, &status, 0) == child ? status : -1, exited(3));
    close(terminal);
    return 0;
}

/* Its success is a program of its own: the parent is gone then. */
static int by_daemon(void)
{
    return daemon(1, 1) == -1 ? errno : CHECK_FAILED;
}

static int by_wordexp(void)
{
    wordexp_t w;
    int result = wordexp("$(exit 3)", &w, 0);

    CHECK_EQUAL(result, WRDE_NOSPACE);
    return STOP_ERROR;
}

static const struct creation {
    const char *name;
    int (*make)(void);
    int execs, stops_only, at_init_only;
} creations[] = {
    {"system", by_system, 1, 0, 0},
    {"system(NULL)", by_null_system, 1, 0, 0},
    {"popen", by_popen, 1, 0, 0},
    {"popen to write", by_popen_to_write, 1, 0, 0},
    {"forkpty", by_forkpty, 0, 0, 0},
    {"daemon", by_daemon, 0, 1, 0},
    {"wordexp", by_wordexp, 1, 1, 1},
};
static const struct creation *creation;

static const char *const recorder_names[] = {"recorder", "second", "third"};
#define RECORDERS 3

static const struct outcome {
    const char *name;
    uint32_t stop;
    const char *told[RECORDERS];
} outcomes[] = {
    {"stopped at INIT", WATCH_MASK_INIT, {"init free", "free", "init+stopped free"}},
    {"stopped at CLONE", WATCH_MASK_CLONE, {"init clone free", "init free", "init clone+stopped free"}},
    {"made", 0, {"init clone exit free", "init clone exit free", "init clone exit free"}},
};
static const struct outcome *outcome;

static int open_files(void)
{
    int count = 0;

    for (int fd = 0; fd < 64; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void one_round(void)
{
    uint32_t marks[RECORDERS];
    char what[200];
    int files = open_files(), error;

    snprintf(what, sizeof what, "%s, %s, %s", situation->name, creation->name, outcome->name);
    for (int i = 0; i < RECORDERS; i++)
        marks[i] = recording_of(recorder_names[i])->count;
    set_rule_of("recorder", outcome->stop ? RULE_RETURN : RULE_NONE, outcome->stop, notifier_from_errno(-STOP_ERROR));
    error = creation->make();
    check_equal(what, __LINE__, "error", error, outcome->stop ? STOP_ERROR : 0);
    check_equal(what, __LINE__, "open files", open_files(), files);
    if (!error)
        expected++;
    while (announced < expected)
        sched_yield();
    check_equal(what, __LINE__, "SIGCHLDs", announced, expected);
    for (int i = 0; i < RECORDERS; i++) {
        const struct recording *r = recording_of(recorder_names[i]);
        char seen[1000] = "";

        for (uint32_t n = marks[i]; n < r->count; n++)
            append_event(seen, sizeof seen, &r->records[n]);
        check_text(what, __LINE__, recorder_names[i], seen,
                   creation->execs && !error ? "init clone exec exit free" : outcome->told[i]);
    }
    if (situation->reaping != REAP_ANY)
        CHECK_EQUAL(syscall(SYS_wait4, -1, NULL, WNOHANG | __WALL, NULL), -1);
}

int main(void)
{
    for (int i = 0; i < RECORDERS; i++)
        recording_of(recorder_names[i]);
    for (size_t s = 0; s < sizeof situations / sizeof *situations; s++) {
        situation = &situations[s];
        if (strcmp(situation->name, "plain") != 0 && strcmp(situation->name, "waiter") != 0 &&
            strcmp(situation->name, "open") != 0)
            continue;
        for (size_t c = 0; c < sizeof creations / sizeof *creations; c++) {
            creation = &creations[c];
            for (size_t o = 0; o < sizeof outcomes / sizeof *outcomes; o++) {
                outcome = &outcomes[o];
                if ((creation->stops_only && !outcome->stop) ||
                    (creation->at_init_only && outcome->stop != WATCH_MASK_INIT))
                    continue;
                announced = expected = 0;
                situation->set_up();
                situation->run(one_round, ROUNDS);
                stop_nothing();
                situation->take_down();
                CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
            }
        }
    }
    no_children_left();
    return 0;
}
