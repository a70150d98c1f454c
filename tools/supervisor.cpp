// SPDX-License-Identifier: MIT
// taskwatch-supervise: what the launcher becomes. It starts the program as its child and stays beside it until it
// ends:
//
//   taskwatch-supervise [--quiet] [--unwatched] [--reap] [--error-exitcode=N] [--library=PATH]
//                       [-u NAME | NAME=VALUE]... -- PROGRAM [ARGS]
//
// --unwatched: what the launcher has found out of PROGRAM. The other words before -- are env(1)'s: the environment that the program gets. The launcher starts it with
// TASKWATCH_DISABLE=1, so that a library that watches the launcher itself leaves it alone.
//
// The program must not notice: nothing of it is kept open, no signal comes twice or gets lost, and
// when the supervisor is killed it runs on. What cannot be hidden is in LIMITS.md.
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

#include "columns.hpp"
#include "events.hpp"
#include "keeper.hpp"
#include "child.hpp"
#include "relay.hpp"
#include "streams.hpp"

using namespace taskwatch;

namespace {

struct Options {
    bool quiet = false;
    bool unwatched = false;
    bool reap = false;
    int error_status = TASKWATCH_FAILED_STATUS;
    const char *library = "";  // beside which the watchers are
    char **program = nullptr;
};

constinit Keeper keeper;
constinit Relay relay;
constinit Events events;

// Options, then what env(1) would do. False: not called as above.
bool parse(char **argv, Options &options) {
    char **word = argv + 1;
    for (; *word && strcmp(*word, "--") != 0; word++) {
        if (strcmp(*word, "--quiet") == 0)
            options.quiet = true;
        else if (strcmp(*word, "--unwatched") == 0)
            options.unwatched = true;
        else if (strcmp(*word, "--reap") == 0)
            options.reap = true;
        else if (strncmp(*word, "--error-exitcode=", 17) == 0)
            options.error_status = atoi(*word + 17);
        else if (strncmp(*word, "--library=", 10) == 0)
            options.library = strdup(*word + 10);
        else if (strcmp(*word, "-u") == 0 && word[1])
            unsetenv(*++word);
        else if (!strchr(*word, '=') || putenv(strdup(*word)) != 0)
            return false;
    }
    if (!*word || !word[1]) return false;
    // In memory of its own: take_name() writes over the words.
    int count = 0;
    while (word[1 + count]) count++;
    options.program = static_cast<char **>(calloc((size_t)count + 1, sizeof(char *)));
    for (int n = 0; options.program && n < count; n++) options.program[n] = strdup(word[1 + n]);
    return options.program != nullptr;
}

// As ps(1) shows us: without the environment's values, which are nobody's business, and with what runs. Before the
// program can look.
void take_name(char **argv, char *const *program) {
    prctl(PR_SET_NAME, "taskwatch");
    char *to = argv[0], *end = argv[0];
    for (char **word = argv; *word; word++) end = *word + strlen(*word) + 1;
    auto put = [&](const char *text) {
        size_t length = strlen(text) + 1, room = (size_t)(end - to);
        memcpy(to, text, length < room ? length : room);
        to += length < room ? length : room;
    };
    put("taskwatch");
    while (*program) put(*program++);
    memset(to, 0, (size_t)(end - to));
}

int raw_status(const siginfo_t &info) {
    return info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8
                                      : info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
}

// Tells and reaps every child that is dead: the program, and with --reap orphans. True: the program is among them.
bool reap(pid_t program, int &ret_status) {
    siginfo_t info;
    bool ended = false;
    for (;;) {
        info.si_pid = 0;
        struct rusage usage = {};
        // The system call, because libc's leaves the usage out.
        if (syscall(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT, &usage) != 0 || info.si_pid == 0)
            return ended;
        int status = raw_status(info);
        keeper.tell_end_of_child(info.si_pid, status, usage);
        waitpid(info.si_pid, nullptr, 0);
        if (info.si_pid != program) continue;
        ended = true;
        ret_status = status;
    }
}

// What the program has done meanwhile that its parent is told of.
bool look_at_children(pid_t program, int &ret_status) {
    if (reap(program, ret_status)) return true;
    siginfo_t info;
    info.si_pid = 0;
    while (waitid(P_PID, (id_t)program, &info, WSTOPPED | WNOHANG) == 0 && info.si_pid == program) {
        stop_alike(info.si_status);
        info.si_pid = 0;
    }
    return reap(program, ret_status);
}

// What arrived before the program's end, or with it.
void pass_on_the_last(pid_t program) {
    for (Event event; (event = events.wait(0)).kind != Event::nothing;)
        if (event.kind == Event::signal && event.sender == program && event.code <= 0)
            relay.pass_on(event.number, event.code, event.sender, event.value);
}

int supervise(pid_t program) {
    int status = 0, pause = keeper.look_around(events);
    while (!look_at_children(program, status)) {
        Event event = events.wait(pause);
        bool about_a_child = event.number == SIGCHLD && event.code > 0;
        if (event.kind == Event::signal && !about_a_child)
            relay.pass_on(event.number, event.code, event.sender, event.value);
        else if (event.kind == Event::end)
            keeper.tell_end_of_stray(event.key);
        else if (event.kind == Event::nothing)
            pause = keeper.look_around(events);
    }
    return status;
}

int run(const Options &options, char **argv) {
    keeper.found(options.library);
    if (!options.quiet) keeper.want_closing_line(options.unwatched ? options.program[0] : nullptr);
    take_name(argv, options.program);
    Inherited inherited = take_over();
    if (options.reap) prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t program = start_program(options.program, inherited, Keeper::set_root);
    if (program < 0) {
        fprintf(stderr, "taskwatch: %s: cannot be started: %s\n", options.program[0], strerror(-program));
        return 126 << 8;
    }
    keeper.begin(program);
    let_go_of_streams();
    relay.start(program);
    events.open();
    int status = supervise(program);
    pass_on_the_last(program);
    keeper.finish();
    relay.stop();
    return status;
}

}  // namespace

int main(int, char **argv) {
    Options options;
    if (!parse(argv, options)) {
        fputs("usage: taskwatch-supervise [--quiet] [--unwatched] [--reap] [--error-exitcode=N] "
              "[--library=PATH] [-u NAME | NAME=VALUE]... -- PROGRAM [ARGS]\n", stderr);
        return 125;
    }
    if (Keeper::is_inside_a_session()) {
        execvp(options.program[0], options.program);
        int error = errno;
        fprintf(stderr, "taskwatch: %s: %s\n", options.program[0], strerror(error));
        return error == ENOENT ? 127 : 126;
    }
    int status = run(options, argv);
    if (columns.failed() && WIFEXITED(status)) _exit(options.error_status);
    end_alike(status);
}
