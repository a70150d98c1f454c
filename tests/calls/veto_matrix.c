/* SPDX-License-Identifier: MIT */
/*
 * One creation call in one situation: stopped at INIT, stopped at CLONE, refused by the kernel, or none of
 * these, many times. Each time the call returns what it should, nothing is left of a child that was not to
 * be, nobody is sent a SIGCHLD for it, another child's SIGCHLD arrives, and each of three watchers is told
 * exactly what it should be; no descriptor is left open. "refused" instead of a call: the fourth outcome, all calls.
 *
 * watchers: recorder second third
 * recorder: priority=10
 * third: priority=observer
 * main: exec exit free
 */
#include <sched.h>
#include <sys/resource.h>

#include "veto_creations.h"
#include "veto_situations.h"

#define NOBODY 65534

static const struct creation *creation;

/* --- what each watcher is told */

static const char *const recorder_names[] = {"recorder", "second", "third"};
#define RECORDERS 3

static const struct outcome {
    const char *name;
    uint32_t stop;
    int error;
    const char *told[RECORDERS];
} outcomes[] = {
    {"stopped at INIT", WATCH_MASK_INIT, STOP_ERROR, {"init free", "free", "init+stopped free"}},
    {"stopped at CLONE", WATCH_MASK_CLONE, STOP_ERROR, {"init clone free", "init free", "init clone+stopped free"}},
    {"made", 0, 0, {"init clone exit free", "init clone exit free", "init clone exit free"}},
    {"refused", 0, EAGAIN, {"init free", "init free", "init free"}},
};
#define REFUSED (&outcomes[3])
static const struct outcome *outcome;
static int round_number;

static void wrong(const char *what, const char *seen, const char *wanted)
{
    char text[256];

    snprintf(text, sizeof text, "%s, %s, %s, round %d: %s", situation->name, creation->name, outcome->name,
             round_number, what);
    check_failed(__FILE__, __LINE__, text, seen, wanted);
}

static void equal(const char *what, long seen, long wanted)
{
    char text[2][32];

    if (seen == wanted)
        return;
    snprintf(text[0], sizeof text[0], "%ld", seen);
    snprintf(text[1], sizeof text[1], "%ld", wanted);
    wrong(what, text[0], text[1]);
}

static void check_told(const uint32_t *marks)
{
    for (int i = 0; i < RECORDERS; i++) {
        const struct recording *r = recording_of(recorder_names[i]);
        const char *wanted = outcome->told[i];
        char seen[1000] = "";

        if (creation->spawns && outcome->error == 0)
            wanted = "init clone exec exit free";
        for (uint32_t n = marks[i]; n < r->count; n++)
            append_event(seen, sizeof seen, &r->records[n]);
        if (strcmp(seen, wanted) != 0)
            wrong(recorder_names[i], seen, wanted);
    }
}

/* --- one round */

static void await_announcements(int least)
{
    read_signalfd();
    while (announced < least) {
        sched_yield();
        read_signalfd();
    }
}

static void reap(pid_t child)
{
    int status = -1;
    pid_t pid = waitpid(child, &status, 0);

    if (situation->reaping == REAP_KERNEL) {
        equal("waitpid for a child that reaps itself", pid, -1);
        return;
    }
    if (situation->reaping == REAP_ANY && pid < 0) {
        while (__atomic_load_n(&reaped_pid, __ATOMIC_SEQ_CST) != child)
            sched_yield();
        pid = reaped_pid;
        status = reaped_status;
    }
    equal("waitpid", pid, child);
    equal("status", status, exited(3));
}

/* A child of the program's own, which ends when it is told to. */
static int dying_pipe[2];

static pid_t make_other(void)
{
    pid_t pid;

    CHECK_EQUAL(pipe(dying_pipe), 0);
    pid = raw_fork();
    if (pid == 0) {
        syscall(SYS_close, dying_pipe[1]);
        await_byte(dying_pipe[0]);
        raw_call(SYS_exit_group, 5, 0, 0, 0, 0, 0);
    }
    return pid;
}

/* Both deaths have been announced, one at least and two at most: they may have come at once. Children that reap
 * themselves have been announced when they are gone, which is when waitid() finds nobody. `made`: 0, or a child that is
 * still to be waited for; `deaths`: those that were announced. */
static void reap_both(pid_t other, pid_t made, int deaths)
{
    siginfo_t info;
    int before = expected, status;

    if (made > 0)
        raw_call(SYS_waitid, P_PID, made, (long)&info, WEXITED | WNOWAIT, 0, 0);
    raw_call(SYS_waitid, P_PID, other, (long)&info, WEXITED | WNOWAIT, 0, 0);
    if (announced <= before)
        wrong("SIGCHLD of the other child", "lost", "announced");
    if (announced > before + deaths)
        wrong("SIGCHLD", "one too many", "one a death");
    expected = announced;
    if (situation->reaping == REAP_KERNEL) {
        equal("waitpid for the other child", waitpid(other, &status, 0), -1);
    } else {
        equal("waitpid for the other child", waitpid(other, &status, 0), other);
        equal("its status", status, exited(5));
    }
    if (made > 0)
        reap(made);
    close(dying_pipe[0]);
}

/* system and pclose have waited for their child themselves, if nobody else has had it. */
static void check_shell_status(void)
{
    if (situation->reaping == REAP_SELF || (situation->reaping == REAP_ANY && shell_status != -1))
        equal("status", shell_status, exited(3));
    else
        equal("status of a child that somebody else has", shell_status, -1);
}

static void limit_processes(int on)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = on ? 0 : limit.rlim_max;
    CHECK_EQUAL(setrlimit(RLIMIT_NPROC, &limit), 0);
    kernel_refuses = on;
}

static int open_files(void)
{
    int count = 0;

    for (int fd = 0; fd < 32; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* The program's SIGCHLD as it was: its action, and the calling thread's mask. */
static void look_at_child_signal(struct sigaction *action, sigset_t *mask)
{
    CHECK_EQUAL(sigaction(SIGCHLD, NULL, action), 0);
    CHECK_EQUAL(pthread_sigmask(SIG_BLOCK, NULL, mask), 0);
}

static void check_child_signal(const struct sigaction *before, const sigset_t *mask_before)
{
    struct sigaction action;
    sigset_t mask;

    look_at_child_signal(&action, &mask);
    equal("the handler of SIGCHLD", (long)action.sa_handler, (long)before->sa_handler);
    equal("the flags of SIGCHLD's action", action.sa_flags, before->sa_flags);
    equal("the mask of SIGCHLD's action", memcmp(&action.sa_mask, &before->sa_mask, 8), 0);
    equal("the signal mask", memcmp(&mask, mask_before, 8), 0);
}

static void check_nothing_left(void)
{
    /* By a raw call: what a wrapper hides is still there. */
    if (situation->reaping != REAP_ANY) {
        equal("a child is left", raw_call(SYS_wait4, -1, 0, WNOHANG | __WALL, 0, 0, 0), -ECHILD);
    }
}

static void one_round(void)
{
    uint32_t marks[RECORDERS];
    pid_t pid = -7, other = situation->other_dies ? make_other() : 0;
    int error, files, dies, saved = errno;
    struct sigaction action;
    sigset_t mask;

    round_number++;
    look_at_child_signal(&action, &mask);
    for (int i = 0; i < RECORDERS; i++)
        marks[i] = recording_of(recorder_names[i])->count;
    set_rule_of("recorder", outcome->stop ? RULE_RETURN : RULE_NONE, outcome->stop,
                notifier_from_errno(-STOP_ERROR));
    if (outcome == REFUSED)
        limit_processes(1);
    if (other)
        close(dying_pipe[1]);
    files = open_files();
    error = creation->make(&pid);
    equal("open files", open_files(), files);
    check_child_signal(&action, &mask);
    if (outcome == REFUSED)
        limit_processes(0);
    equal("errno", error, outcome->error);
    if (error)
        equal("pid", pid, creation->spawns || creation->what == IS_THREAD ? -7 : -1);
    if (error == 0 && creation->what == IS_SHELL)
        check_shell_status();
    dies = error == 0 && creation->what != IS_THREAD;
    if (other) {
        reap_both(other, dies && creation->what == IS_CHILD ? pid : 0, 1 + dies);
    } else if (dies) {
        if (creation->what == IS_CHILD)
            reap(pid);
        expected += !situation->silent;
        await_announcements(expected);
    }
    if (announced > expected)
        wrong("SIGCHLD", "one too many", "one a death");
    check_told(marks);
    check_nothing_left();
    errno = saved;
}

/* --- all rounds of some outcomes */

static void run(int times)
{
    round_number = 0;
    announced = expected = 0;
    situation->set_up();
    situation->run(one_round, times);
    situation->take_down();
    await_announcements(expected);
    equal("SIGCHLDs in all", announced, expected);
    CHECK(signal(SIGCHLD, SIG_DFL) != SIG_ERR);
    stop_nothing();
    check_nothing_left();
}

static void run_outcomes(int times)
{
    for (outcome = outcomes; outcome != REFUSED; outcome++) {
        const int stop = outcome->stop == WATCH_MASK_INIT ? STOPS_AT_INIT : outcome->stop ? STOPS_AT_CLONE : 0;

        if (creation->only && !(creation->only & stop))
            continue;
        /* A round with a shell costs as much as fifty others. */
        run(creation->what == IS_SHELL && !stop ? times / 15 : times);
    }
}

static void run_refused(int times)
{
    pid_t child = fork();

    if (child == 0) {
        CHECK_EQUAL(setresgid(NOBODY, NOBODY, NOBODY), 0);
        CHECK_EQUAL(setresuid(NOBODY, NOBODY, NOBODY), 0);
        outcome = REFUSED;
        for (size_t i = 0; i < sizeof creations / sizeof *creations; i++) {
            creation = &creations[i];
            if (!creation->group || !situation->in_handler)
                run(times);
        }
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);
}

int main(int argc, char **argv)
{
    int times = getenv("QUICK") ? 30 : 300;

    CHECK_EQUAL(argc, 3);
    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    for (int i = 0; i < RECORDERS; i++)
        recording_of(recorder_names[i]);
    for (size_t i = 0; i < sizeof situations / sizeof *situations; i++)
        if (strcmp(situations[i].name, argv[2]) == 0)
            situation = &situations[i];
    CHECK(situation != NULL);
    if (strcmp(argv[1], "refused") == 0) {
        if (geteuid() != 0) {
            printf("who may not have more processes is somebody else: needs root\n");
            return 77;
        }
        run_refused(times);
        return 0;
    }
    for (size_t i = 0; i < sizeof creations / sizeof *creations; i++) {
        if (strcmp(creations[i].group ? creations[i].group : creations[i].name, argv[1]) != 0)
            continue;
        creation = &creations[i];
        run_outcomes(times);
    }
    CHECK(creation != NULL);
    return 0;
}
