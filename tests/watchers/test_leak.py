# SPDX-License-Identifier: MIT
"""leak: programs that leave something behind, and programs that do not."""
import contextlib
import os
import re
import select
import signal
import subprocess
import sys

from harness import equal, holds, test

def run(tree, script, options=""):
    """Into files: what is left over would hold a pipe."""
    with open(os.path.join(tree.work, "err"), "w+", encoding="utf-8") as err:
        result = subprocess.run([tree.launcher, "-q", "-w", "leak" + options, "--", sys.executable, "-c", script],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err, env=tree.environment,
                                cwd=tree.work, check=False, timeout=60)
        err.seek(0)
        result.stderr = err.read()
    return result


CHILD = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\n"
ORPHAN = ("import os, time\nready = os.pipe()\nif os.fork() == 0:\n    if os.fork() == 0:\n"
          "        os.write(ready[1], b'x')\n        time.sleep(1000)\n    os._exit(0)\n"
          "os.wait()\nos.read(ready[0], 1)\n")
ZOMBIE = "import os\npid = os.fork()\nif pid == 0: os._exit(5)\nos.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n"


def end(result):
    """Ends what the program has left, of which there is a line."""
    for pid in re.findall(r"still running: pid (\d+)", result.stderr):
        os.kill(int(pid), signal.SIGKILL)


@test("a program that leaves nothing is not told of")
def _(tree):
    for words in (("true",), ("sh", "-c", "ls / | wc -l; sleep 0 & wait"),
                  (sys.executable, "-c", "import subprocess; subprocess.run(['true'])")):
        result = tree.run("-q", "-w", "leak:fail=1", "--", *words)
        equal((result.returncode, result.stderr), (0, ""), words)


@test("a child that runs on is told of, with its command, age, call and parent")
def _(tree):
    result = run(tree, CHILD)
    end(result)
    equal(result.returncode, 0)
    holds(re.fullmatch(r"leak: still running: pid \d+ \(\S*python\S* -c import os, time\?if os.*\), \d+\.\d s old, "
                       r"made by fork by python\S* \(pid \d+\)\n", result.stderr), result.stderr)
    result = run(tree, "import subprocess; subprocess.Popen(['sleep', '1000'])")
    end(result)
    holds(re.search(r"\(sleep 1000\), \d+\.\d s old, made by \w+ by python", result.stderr), result.stderr)


@test("an orphan is told of as one")
def _(tree):
    result = run(tree, ORPHAN)
    end(result)
    holds(re.fullmatch(r"leak: still running: pid \d+ \(.*\), \d+\.\d s old, an orphan, made by fork by a process that has "
                       r"ended\n", result.stderr), result.stderr)


@test("a zombie that was not waited for is told of")
def _(tree):
    result = run(tree, ZOMBIE)
    holds(re.fullmatch(r"leak: not waited for: pid \d+ \(python\S*\), \d+\.\d s old, made by fork by python\S* "
                       r"\(pid \d+\)\n", result.stderr), result.stderr)


@test("fail=1 makes it 88, the program's status is kept otherwise")
def _(tree):
    for script in (CHILD, ORPHAN, ZOMBIE):
        for options, status in (("", 3), (":fail=0", 3), (":fail=1", 88)):
            result = run(tree, script + "os._exit(3)\n" if script == ZOMBIE else script + "raise SystemExit(3)\n", options)
            end(result)
            equal(result.returncode, status, (script, options, result.stderr))


@test("kill= ends what is left, and nothing else")
def _(tree):
    for name in ("TERM", "KILL"):
        for script in (CHILD, ORPHAN):
            bystander = os.fork()
            if bystander == 0:
                signal.pause()
            result = run(tree, script, f":kill={name}")
            holds(result.stderr.endswith(f": SIG{name} was sent\n"), result.stderr)
            pid = int(re.search(r"pid (\d+)", result.stderr)[1])
            with contextlib.suppress(ProcessLookupError):  # else it has ended already
                pidfd = os.pidfd_open(pid)
                holds(select.select([pidfd], [], [], 30)[0], result.stderr)
                os.close(pidfd)
            equal(os.waitpid(bystander, os.WNOHANG), (0, 0))
            os.kill(bystander, signal.SIGKILL)
            os.waitpid(bystander, 0)


@test("kill= does not end what cannot be proven to be the session's")
def _(tree):
    # A static program maps nothing of ours.
    program = tree.compile("still", "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n", "-static")
    result = run(tree, f"import subprocess; subprocess.Popen(['{program}'])", ":kill=KILL")
    holds(result.stderr.endswith(": not ended: nothing proves that it is of this session\n"), result.stderr)
    end(result)


@test("scope=process looks at the end of each process")
def _(tree):
    script = "import os, time\nif os.fork() == 0:\n" + "".join("    " + line + "\n" for line in CHILD.splitlines()[1:])
    result = run(tree, script + "    raise SystemExit\nos.wait()\n", ":scope=process")
    end(result)
    equal(len(result.stderr.splitlines()), 1, result.stderr)
    holds(re.search(r"made by fork by python\S* \(pid \d+\) < python\S* \(pid \d+\)$", result.stderr), result.stderr)


@test("what a killed program has left is told of by the supervisor")
def _(tree):
    result = run(tree, CHILD + "os.kill(os.getpid(), 9)\n", ":fail=1")
    end(result)
    equal(result.returncode, -9)
    holds(re.fullmatch(r"leak: still running: pid \d+ .*\n", result.stderr), result.stderr)


@test("wrong options are refused")
def _(tree):
    for options, line in ((":scope=all", "scope: 'all' is not a scope; accepted: root, process"),
                          (":fail=2", "fail: '2' is not a switch; accepted: 0, 1"),
                          (":kill=HUP", "kill: 'HUP' is not a signal that ends; accepted: TERM, KILL"),
                          (":kill=KILL,scope=process",
                           "kill: only with scope=root: what one process leaves may be another's"),
                          (":x=1", "option: 'x' is unknown; accepted: scope, fail, kill")):
        result = tree.run("-q", "-w", "leak" + options, "true")
        equal((result.stderr, result.returncode), (f"libtaskwatch: watcher 'leak': {line}\n", 0))
