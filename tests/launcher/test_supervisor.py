# SPDX-License-Identifier: MIT
# Who stays beside the program: it holds nothing of it, passes on what is meant for it, tells what nobody else tells,
# leaves nothing behind, and is missed by nobody when it is killed.
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time

from harness import Skip, equal, holds, read, test

QUIET = ("-q", "-o", "/dev/null")


@contextlib.contextmanager
def started(tree, *words, **options):
    """The launcher in a group of its own; all of that group is ended afterwards, whatever happened."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL} | options
    with subprocess.Popen(words, text=True, env=tree.environment, cwd=tree.work, start_new_session=True,
                          **options) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def readable(stream):
    holds(select.select([stream], [], [], 30)[0], "nothing comes, not even the end")
    return stream


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        holds(time.monotonic() < deadline, "never")
        time.sleep(0.01)


def segment_is_there(name):
    with open("/proc/sysvipc/shm", encoding="ascii") as table:
        return any(line.split()[1] == name.split(":")[0] for line in list(table)[1:])


def records(path):
    with open(path, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def supervisor(tree):
    return os.path.join(tree.build, "tools", "taskwatch-supervise")


@test("a pipe that the program closes is closed")
def _(tree):
    for script, stream in (("exec >&-; read x", "stdout"), ("exec 2>&-; read x", "stderr"),
                           ("exec >&- 2>&-; read x", "stdout")):
        with started(tree, tree.launcher, *QUIET, "sh", "-c", script, stderr=subprocess.PIPE) as process:
            equal(readable(getattr(process, stream)).read(), "")
            process.stdin.write("\n")
            process.stdin.close()
            equal(process.wait(30), 0)
    with started(tree, tree.launcher, *QUIET, "sh", "-c", "exec <&-; echo closed; exec sleep 1000") as process:
        equal(readable(process.stdout).readline(), "closed\n")
        with contextlib.suppress(BrokenPipeError):
            until(lambda: not os.write(process.stdin.fileno(), b"x"))  # as long as somebody would read it
            raise AssertionError


@test("a signal that is sent to the launcher alone reaches the program")
def _(tree):
    script = "trap 'echo term; exit 7' TERM; echo ready; while :; do read x; done"
    with started(tree, tree.launcher, *QUIET, "sh", "-c", script) as process:
        equal(readable(process.stdout).readline(), "ready\n")
        os.kill(process.pid, signal.SIGTERM)
        equal((readable(process.stdout).readline(), process.wait(30)), ("term\n", 7))
    result = tree.run("sleep", "1000", launcher="/usr/bin/timeout", env={})
    equal(result.returncode, 125)
    result = tree.bare("timeout", "0.2", tree.launcher, *QUIET, "sleep", "1000")
    equal(result.returncode, 124)


@test("a signal that the program sends to its parent goes to the launcher's")
def _(tree):
    program = ("import os, signal, subprocess, sys\n"
               "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
               "child = subprocess.Popen(sys.argv[1:])\n"
               "print(signal.sigtimedwait([signal.SIGUSR1], 30) is not None, child.wait())\n")
    for options in (QUIET, (*QUIET, "--no-supervise")):
        result = tree.bare(sys.executable, "-c", program, tree.launcher, *options, "sh", "-c", "kill -USR1 $PPID")
        equal(result.stdout, "True 0\n", result.stderr)


@test("without a descriptor to be had it does its work all the same")
def _(tree):
    def prepare():
        resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))  # ld.so needs one
    script = "trap 'exit 7' TERM; echo ready; while :; do read x; done"
    with started(tree, supervisor(tree), "--", "sh", "-c", script, preexec_fn=prepare) as process:
        equal(readable(process.stdout).readline(), "ready\n")
        os.kill(process.pid, signal.SIGTERM)
        equal(process.wait(30), 7)


@test("the signal for a parent's death and SIGCHLD's action are passed down")
def _(tree):
    def prepare():
        ctypes.CDLL(None).prctl(1, signal.SIGUSR2)  # PR_SET_PDEATHSIG
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    script = ("import ctypes, signal; n = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(n)); "
              "print(n.value, signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN)")
    result = tree.run(*QUIET, sys.executable, "-c", script, preexec_fn=prepare)
    equal((result.stdout, result.returncode), ("12 True\n", 0), result.stderr)


@test("when it is killed the program runs on")
def _(tree):
    script = "echo $TASKWATCH_SESSION; read x; /bin/true && echo on"
    with started(tree, tree.launcher, *QUIET, "sh", "-c", script) as process:
        session = readable(process.stdout).readline()
        holds(segment_is_there(session), session)
        process.kill()
        equal(process.wait(30), -signal.SIGKILL)
        process.stdin.write("\n")
        process.stdin.flush()
        equal(readable(process.stdout).read(), "on\n")
    until(lambda: not segment_is_there(session))


@test("when it is stopped the program ends, and how is told when it is continued")
def _(tree):
    with started(tree, tree.launcher, *QUIET, "sh", "-c", "echo ready; read x; exit 6") as process:
        equal(readable(process.stdout).readline(), "ready\n")
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        process.stdin.write("\n")
        process.stdin.flush()
        equal(readable(process.stdout).read(), "")
        os.kill(process.pid, signal.SIGCONT)
        equal(process.wait(30), 6)


@test("nothing is left behind: no process, no segment, also when everything is killed at once")
def _(tree):
    for kill in (False, True):
        with started(tree, tree.launcher, *QUIET, "sh", "-c", "echo $TASKWATCH_SESSION; read x") as process:
            session = readable(process.stdout).readline()
            holds(segment_is_there(session), session)
            if kill:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdin.close()
            process.wait(30)
            until(lambda: not segment_is_there(session))
            if not kill:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 0)
                    raise AssertionError("somebody is left in the group")
            process.stdin = None


@test("a session of hundreds of tasks leaves no segment when everything is killed")
def _(tree):
    def ours():
        with open("/proc/sysvipc/shm", encoding="ascii") as table:
            rows = [line.split() for line in list(table)[1:]]
        return {row[1]: int(row[2], 8) for row in rows if int(row[4]) in (process.pid, program)}

    script = ("import os, sys\nfor n in range(300):\n if os.fork() == 0:\n  os.read(0, 1)\n  os._exit(0)\n"
              "print(os.getpid(), flush=True)\nos.read(0, 1)\n")
    with started(tree, tree.launcher, "-w", "limit:tasks=1000", sys.executable, "-c", script) as process:
        program = int(readable(process.stdout).readline())
        equal(len(ours()), 2)
        until(lambda: all(mode & 0o1000 for mode in ours().values()))  # SHM_DEST: they go with their last user
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        until(lambda: not ours())


@test("a program that is killed is told of, with the signal")
def _(tree):
    result = tree.run("--json", "-o", "t.jsonl", "sh", "-c", "kill -KILL $$")
    equal(result.returncode, -signal.SIGKILL)
    last = records(os.path.join(tree.work, "t.jsonl"))[-2:]
    equal([(r["event"], r.get("signal"), r.get("on_behalf")) for r in last], [("exit", 9, True), ("free", None, True)])
    # On stderr too, where that is a file.
    with open(os.path.join(tree.work, "err"), "w", encoding="utf-8") as err:
        subprocess.run([tree.launcher, "sh", "-c", "echo first >&2; kill -KILL $$"], stderr=err, env=tree.environment,
                       check=False, timeout=60)
    holds("+++ killed by SIGKILL" in read(err.name).splitlines()[-1], read(err.name))


@test("an orphan that is killed is told of while the program runs, with --reap always with the signal")
def _(tree):
    script = "sh -c 'sleep 1000 & echo $!'; read x; exit 0"
    for options in ((), ("--reap",)):
        with started(tree, tree.launcher, "--json", "-o", "t.jsonl", *options, "sh", "-c", script) as process:
            orphan = int(readable(process.stdout).readline())
            until(lambda: any(r["event"] == "free" for r in records(os.path.join(tree.work, "t.jsonl"))))
            os.kill(orphan, signal.SIGKILL)

            def ends():
                return [r for r in records(os.path.join(tree.work, "t.jsonl"))
                        if r["event"] == "exit" and r["pid"] == orphan]
            until(ends)
            end, = ends()
            holds(end["on_behalf"] and end["status"] in ((9,) if options else (9, None)), end)
            process.stdin.close()
            equal(process.wait(30), 0)
            process.stdin = None


@test("--reap adopts orphans, without it they are the machine's")
def _(tree):
    script = ("import os\nparent = os.getppid()\nread, write = os.pipe()\n"
              "if os.fork() == 0:\n"
              "    if os.fork() == 0:\n"
              "        os.close(write)\n"
              "        os.read(read, 1)\n"
              "        os.write(1, b'adopted' if os.getppid() == parent else b'left')\n"
              "        os._exit(0)\n"
              "    os._exit(0)\n"
              "os.wait()\nos.close(write)\nos.close(read)\nos.read(0, 1)\n")
    for options, seen in ((QUIET, "left"), ((*QUIET, "--reap"), "adopted")):
        with started(tree, tree.launcher, *options, sys.executable, "-c", script) as process:
            equal(readable(process.stdout).read(len(seen)), seen)
            process.stdin.close()
            equal(process.wait(30), 0)
            process.stdin = None


@test("a watcher that fails the session makes it 88, or what --error-exitcode says; a signal stays one")
def _(tree):
    source = tree.file("fails.c", """#include <taskwatch/taskwatch.h>
static int notify(struct notifier_block *nb, unsigned long action, void *task)
{
    (void)action, (void)task;
    taskwatch_fail_session(nb);
    return NOTIFY_DONE;
}
const struct taskwatch_watcher taskwatch_watcher = {
    .abi_version = TASKWATCH_ABI_VERSION, .size = sizeof(struct taskwatch_watcher), .name = "fails",
    .description = "finds fault", .events = WATCH_MASK_EXIT, .notify = notify,
};
""")
    built = tree.bare("gcc", "-shared", "-fPIC", "-I", os.path.join(tree.source, "include"), "-o", "fails.so", source)
    if built.returncode:
        raise Skip("no C compiler: " + built.stderr)
    for options, script, status in (((), "exit 0", 88), ((), "exit 3", 88), (("--error-exitcode=5",), "exit 3", 5),
                                    (("--error-exitcode", "0"), "exit 3", 0), (("--no-supervise",), "exit 3", 3),
                                    ((), "kill -TERM $$", -15)):
        equal(tree.run("-q", *options, "-w", "./fails.so", "sh", "-c", script).returncode, status, (options, script))
    equal(tree.run("-q", "-w", "limit:tasks=9", "sh", "-c", "exit 3").returncode, 3)
    see = "; see taskwatch --help"
    tree.refused("--error-exitcode=256", "true", line="--error-exitcode '256' is not a number from 0 to 255" + see)
    for option in ("--reap", "--error-exitcode=1"):
        tree.refused("--no-supervise", option, "true",
                     line="--no-supervise: nobody stays for --reap or --error-exitcode" + see)


@test("inside a watched tree the outer launcher is the supervisor")
def _(tree):
    script = "echo $TASKWATCH_SESSION $PPID"
    result = tree.run(*QUIET, "sh", "-c", f"echo $TASKWATCH_SESSION $PPID; exec {tree.launcher} -q -o /dev/null "
                      f"sh -c '{script}'")
    first, second = result.stdout.splitlines()
    equal(second, first, result.stderr)


@test("ps shows the program and nothing of its environment")
def _(tree):
    script = "tr '\\0' '|' </proc/$PPID/cmdline; cat /proc/$PPID/comm"
    result = tree.run(*QUIET, "sh", "-c", script, env={"SHLVL": "77", "OLDPWD": "/secret"})
    arguments, _, name = result.stdout.partition(f"|sh|-c|{script}|")
    equal((arguments, name.strip("|")), ("taskwatch", "taskwatch\n"), result.stdout)


@test("the supervisor itself refuses what it does not understand")
def _(tree):
    for words in ((), ("--",), ("true",), ("--nonsense", "--", "true"), ("-u", "--", "true")):
        result = tree.bare(supervisor(tree), *words)
        equal(result.returncode, 125, words)
        holds(result.stderr.startswith("usage: taskwatch-supervise "), result.stderr)
