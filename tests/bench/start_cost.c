/* SPDX-License-Identifier: MIT */
/*
 * What each exec costs: vfork + exec + wait of /bin/true with different preloads, interleaved:
 *   start_cost EMPTY.so LIBTASKWATCH.so TRACE_FILE [ROUNDS]
 * EMPTY.so is the naive empty preload that everything is compared with.
 */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "interleave.h"

static char *const arguments[] = {"/bin/true", NULL};

static void start(void *environment)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execve(arguments[0], arguments, environment);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

static char *join(const char *name, const char *value)
{
    char *text = malloc(strlen(name) + strlen(value) + 2);
    sprintf(text, "%s=%s", name, value);
    return text;
}

/*
 * A session that lives as long as this program, as the program that a launcher starts would have: founded
 * by a shell under the library, whose child prints the variable and waits for our end of the pipe.
 */
static char *hold_session(const char *ours)
{
    int out[2], in[2];
    static char line[128] = "TASKWATCH_SESSION=";
    if (pipe(out) != 0 || pipe(in) != 0)
        abort();
    if (fork() == 0) {
        char *argv[] = {"sh", "-c", "sh -c 'echo $TASKWATCH_SESSION; read end'; :", NULL};
        char *envp[] = {"PATH=/bin:/usr/bin", (char *)ours, "TASKWATCH_WATCHERS=limit",
                        "TASKWATCH_LIMIT=tasks=100000", NULL};
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        execve("/bin/sh", argv, envp);
        _exit(127);
    }
    size_t used = strlen(line);
    ssize_t n = read(out[0], line + used, sizeof line - used - 1);
    if (n > 1)
        line[used + (size_t)n - 1] = '\0';
    return line;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "start_cost: wants EMPTY.so LIBTASKWATCH.so TRACE_FILE [ROUNDS]\n");
        return 2;
    }
    int rounds = argc > 4 ? atoi(argv[4]) : 1500;
    char *ours = join("LD_PRELOAD", argv[2]);
    char *trace = join("TASKWATCH_TRACE=format=json,output", argv[3]);
    char *session = hold_session(ours);
    char *bare[] = {"PATH=/bin", NULL};
    char *empty[] = {"PATH=/bin", join("LD_PRELOAD", argv[1]), NULL};
    char *none[] = {"PATH=/bin", ours, NULL};
    char *traced[] = {"PATH=/bin", ours, "TASKWATCH_WATCHERS=trace", trace, session, NULL};
    char *limited[] = {"PATH=/bin", ours, "TASKWATCH_WATCHERS=limit", "TASKWATCH_LIMIT=tasks=1000", session, NULL};
    char *faulted[] = {"PATH=/bin", ours, "TASKWATCH_WATCHERS=fault", "TASKWATCH_FAULT=on=init,when=1000000", session, NULL};
    char *three[] = {"PATH=/bin", ours, "TASKWATCH_WATCHERS=trace:limit:fault", trace,
                     "TASKWATCH_LIMIT=tasks=1000", "TASKWATCH_FAULT=on=init,when=1000000", session, NULL};
    struct variant variants[] = {
        {"empty preload (E)", start, empty},
        {"empty preload again", start, empty},
        {"no preload", start, bare},
        {"libtaskwatch, no watchers", start, none},
        {"trace to a JSON file", start, traced},
        {"limit", start, limited},
        {"fault", start, faulted},
        {"trace, limit and fault", start, three},
    };
    interleave("vfork + exec + wait of /bin/true", variants, 8, rounds);
    return 0;
}
