# SPDX-License-Identifier: MIT
# Where the session's memory is not to be had, or its first process is not there any more: the program runs as it does
# without us, and what can still be told is told. Variables alone: the launcher is not needed for any of this.
import contextlib
import os
import resource
import signal

from harness import equal, holds, read, test
from test_supervisor import records, started, readable, segment_is_there, until

# A filter as a container has it, there before the first watched program: IPC's shmget is refused.
DENY = """#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_shmget, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof code / sizeof *code, code};
    (void)count;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        return 77;
    while (arguments[1] && strchr(arguments[1], '=')) {
        putenv(arguments[1]);
        arguments++;
    }
    execvp(arguments[1], arguments + 1);
    return 127;
}
"""

SCRIPT = "/bin/echo one; (exit 3); echo $?; /bin/sh -c 'kill -KILL $$'; echo $?; exit 7"


def watched(tree, watchers="trace", **more):
    return {"LD_PRELOAD": tree.library, "TASKWATCH_WATCHERS": watchers, "TASKWATCH_TRACE": f"format=json,output={tree.work}/t.jsonl"} | more


@test("without a session's memory a whole tree runs as without us, and one record says that it is alone")
def _(tree):
    deny = tree.compile("deny", DENY)
    bare = tree.bare(deny, "sh", "-c", SCRIPT)
    under = tree.bare(deny, *(f"{name}={value}" for name, value in watched(tree).items()), "sh", "-c", SCRIPT)
    equal((under.returncode, under.stdout, under.stderr), (bare.returncode, bare.stdout, bare.stderr))
    equal(bare.returncode, 7)
    told = records(os.path.join(tree.work, "t.jsonl"))
    for process in {r["by"] for r in told if r["event"] == "alone"}:
        equal(sum(r["event"] == "alone" and r["by"] == process for r in told), 1, told)
    holds(any(r["event"] == "alone" for r in told), told)
    events = [r["event"] for r in told]
    # What needs no memory of others: who makes a task tells of it, and who can run code tells its own end.
    holds(events.count("init") == events.count("clone") >= 3 and events.count("exit") >= 3, events)
    equal([line for line in read("/proc/sysvipc/shm").splitlines()[1:] if int(line.split()[4]) in {r["by"] for r in told}], [])


@test("with less and less memory a program runs as without us")
def _(tree):
    program = tree.compile("forks", """#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int status, sum = 0;
    for (int n = 0; n < 3; n++) {
        pid_t child = fork();
        if (child == 0)
            _exit(n);
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }
    printf("%d\\n", sum);
    return 9;
}
""")

    def run(kib, environment):
        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (kib * 1024, kib * 1024))
        return tree.bare(program, env=environment, preexec_fn=limit)

    def outcome(kib, environment):
        result = run(kib, environment)
        # ld.so maps the library before libc, and has nothing left for that.
        if result.returncode == 127 and ("error while loading shared" in result.stderr or "cannot allocate TLS" in result.stderr):
            return "too little"
        equal((kib, result.returncode, result.stdout), (kib, 9, "3\n"), result.stderr)
        if "cannot be preloaded" in result.stderr:
            return "without"
        equal(len([line for line in result.stderr.splitlines() if not line.startswith("libtaskwatch: watcher 'trace'")]), 0, result.stderr)
        return "alone" if any(r["event"] == "alone" for r in drain()) else "refused" if result.stderr else "watched"

    def drain():
        path = os.path.join(tree.work, "t.jsonl")
        told = records(path) if os.path.exists(path) else []
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return told

    low = next(kib for kib in range(1800, 4000, 64) if run(kib, {}).returncode == 9)
    outcomes = [outcome(kib, watched(tree)) for kib in range(low, low + 700, 12)]
    # There is a limit at which the library fits and the session does not.
    holds("alone" in outcomes, outcomes)
    equal(outcomes[-1], "watched", outcomes)


@test("beyond the first segment without memory for another one tasks are made and told all the same")
def _(tree):
    program = tree.compile("many", """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int ends[2], failed = 0;
    char line[256];
    unsigned long pages = 0;
    FILE *self = fopen("/proc/self/statm", "r");
    if (pipe(ends) || !self || fscanf(self, "%lu", &pages) != 1)
        return 1;
    fclose(self);
    /* Room for stacks and not for 400 KiB. */
    struct rlimit limit = {pages * 4096 + (300 << 10), pages * 4096 + (300 << 10)};
    setrlimit(RLIMIT_AS, &limit);
    for (int n = 0; n < 300; n++) {
        pid_t child = fork();
        failed += child < 0;
        if (child == 0) {
            close(ends[1]);
            read(ends[0], line, 1);
            _exit(0);
        }
    }
    close(ends[0]);
    close(ends[1]);
    int status, reaped = 0, bad = 0;
    while (wait(&status) > 0)
        reaped++, bad += status != 0;
    printf("%d %d %d\\n", failed, reaped, bad);
    return 0;
}
""")
    result = tree.bare(program, env=watched(tree))
    equal((result.stdout, result.stderr, result.returncode), ("0 300 0\n", "", 0))
    told = records(os.path.join(tree.work, "t.jsonl"))
    ids = {event: [r["task"] for r in told if r["event"] == event] for event in ("init", "clone", "exit", "free")}
    equal({event: len(set(tasks)) for event, tasks in ids.items()}, {"init": 300, "clone": 300, "exit": 301, "free": 301})



@test("the session's first process is killed: what goes on is told, and the last to end tells of the first, and leaves nothing")
def _(tree):
    with started(tree, "sh", "-c", "LD_PRELOAD=$1 TASKWATCH_WATCHERS=trace TASKWATCH_TRACE=format=json,output=$PWD/t.jsonl "
                 "exec sh -c \"$2\"", "sh", tree.library, "exec 3<&0; echo $$; (read x <&3; exit 6) & wait") as process:
        root = int(readable(process.stdout).readline())
        equal(root, process.pid)
        path = os.path.join(tree.work, "t.jsonl")
        until(lambda: any(r["event"] == "clone" for r in records(path)))
        child = next(r["pid"] for r in records(path) if r["event"] == "clone")
        segments = [line.split()[1] for line in read("/proc/sysvipc/shm").splitlines()[1:] if int(line.split()[4]) == root]
        equal(len(segments), 1)
        os.kill(root, signal.SIGKILL)
        equal(process.wait(30), -signal.SIGKILL)
        process.stdin.close()
        until(lambda: not segment_is_there(segments[0]))
        process.stdin = None
        told = [r for r in records(path) if r["event"] in ("exit", "free")]
        equal([(r["event"], r["pid"] == child, r.get("on_behalf", False), r.get("status", 0)) for r in told if r["pid"] == child],
              [("exit", True, False, 6 << 8), ("free", True, False, 0)])
        # By the last task: how the first one ended its parent knows, who is no task of the session.
        equal([(r["event"], r["by"] == child, r["on_behalf"], r.get("status", 0)) for r in told if r["pid"] == root],
              [("exit", True, True, None), ("free", True, True, 0)])


@test("the first process is killed under the launcher: its end is told at once, with the signal, and the rest runs on")
def _(tree):
    with started(tree, tree.launcher, "--json", "-o", "t.jsonl", "sh", "-c",
                 "exec 3<&0; echo $$ $TASKWATCH_SESSION; (read x <&3; exit 6) & wait") as process:
        root, session = readable(process.stdout).readline().split()
        path = os.path.join(tree.work, "t.jsonl")
        until(lambda: any(r["event"] == "clone" for r in records(path)))
        child = next(r["pid"] for r in records(path) if r["event"] == "clone")
        os.kill(int(root), signal.SIGKILL)
        equal(process.wait(30), -signal.SIGKILL)
        told = [r for r in records(path) if r["pid"] == int(root) and r["event"] in ("exit", "free")]
        equal([(r["event"], r.get("signal", 9), r["on_behalf"]) for r in told], [("exit", 9, True), ("free", 9, True)])
        process.stdin.close()
        until(lambda: not segment_is_there(session))
        process.stdin = None
        equal([(r["event"], r["by"], r.get("status", 6 << 8)) for r in records(path)
               if r["pid"] == child and r["event"] in ("exit", "free")], [("exit", child, 6 << 8), ("free", child, 6 << 8)])
