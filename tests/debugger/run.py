#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library under gdb: unwinding at each instruction of vfork and syscall, and the held child under a debugger.

    run.py PROGRAM LIBRARY WATCHER_FOLDER

Prints TAP. gdb is required; without it all is skipped, and TASKWATCH_TESTS_MUST_RUN=1 makes that a failure.
"""
import os
import shutil
import subprocess
import sys
import tempfile

PROGRAM, LIBRARY, WATCHERS = (os.path.abspath(a) for a in sys.argv[1:4])

# Steps one instruction at a time through our vfork or syscall and asks for a backtrace at each.
STEP = """
import gdb
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set follow-fork-mode {side}")
gdb.execute("set detach-on-fork on")
gdb.execute("set breakpoint pending on")
gdb.execute("break {caller}")
gdb.execute("run")
gdb.execute("break {function}")
gdb.execute("continue")
steps = bad = 0
while steps < 4000:
    frame = gdb.newest_frame()
    if frame.name() in ("{caller}", "landing"):
        break
    if frame.name() in ("{function}", "__{function}"):
        names = []
        while frame is not None:
            names.append(frame.name())
            frame = frame.older()
        if names[1:3] != ["{caller}", "main"] and names[1:2] != ["landing"]:
            bad += 1
            print("BAD at", hex(gdb.newest_frame().pc()), names)
        steps += 1
        gdb.execute("nexti", to_string=True)
    else:
        gdb.execute("finish", to_string=True)
print("STEPS", steps, "BAD", bad)
gdb.execute("kill")
"""


def gdb(script, arguments):
    environment = dict(os.environ, LC_ALL="C", DEBUGINFOD_URLS="")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(script)
        file.flush()
        variables = {"LD_PRELOAD": LIBRARY, "TASKWATCH_PATH": WATCHERS, "TASKWATCH_WATCHERS": "busy",
                     "TASKWATCH_BUSY": "us=0"}
        settings = ["set startup-with-shell off"] + [f"set environment {k} {v}" for k, v in variables.items()]
        command = ["gdb", "-nx", "-batch"]
        for setting in settings:
            command += ["-iex", setting]
        command += ["-x", file.name, "--args", PROGRAM, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=90,
                              stdin=subprocess.DEVNULL)
    return done.stdout + done.stderr


def unwinding(side, how="vfork", allowed=0):
    """A child on a stack of its own has no caller there but the one that it returns to. Until it has seen that it is the
    child, it executes instructions whose unwind table is about the parent: those are `allowed`."""
    caller, function = ("make_child", "vfork") if how == "vfork" else ("make_raw", "syscall")
    text = gdb(STEP.format(side=side, caller=caller, function=function), [how])
    for line in text.splitlines():
        if line.startswith("STEPS"):
            words = line.split()
            return int(words[1]) >= 10 and int(words[3]) <= allowed, text
    return False, text


def held_child():
    """gdb stops the creator at the fork; a debugger that follows the child must still get it to its end."""
    script = """
import gdb
gdb.execute("set pagination off")
gdb.execute("set follow-fork-mode child")
gdb.execute("set detach-on-fork on")
gdb.execute("run")
"""
    text = gdb(script, ["fork"])
    return "exited with code 05" in text, text


def main():
    tests = [
        ("a backtrace is right at each instruction of vfork in the parent", lambda: unwinding("parent")),
        ("a backtrace is right at each instruction of vfork in the child", lambda: unwinding("child")),
        ("a backtrace is right at each instruction of a forwarded syscall", lambda: unwinding("parent", "syscall")),
        ("a backtrace is right at each instruction of a raw fork", lambda: unwinding("parent", "syscall-fork")),
        ("a backtrace is right at each instruction of a raw vfork in the parent", lambda: unwinding("parent", "syscall-vfork")),
        ("a backtrace is right at each instruction of a raw vfork in the child", lambda: unwinding("child", "syscall-vfork")),
        ("a backtrace is right at each instruction of a raw clone in the parent", lambda: unwinding("parent", "syscall-clone")),
        ("a backtrace is right at each instruction of a raw clone in the child", lambda: unwinding("child", "syscall-clone", allowed=2)),
        ("a debugger that follows a forked child sees it end", held_child),
    ]
    print(f"1..{len(tests)}")
    failed = False
    for number, (name, test) in enumerate(tests, 1):
        if not shutil.which("gdb"):
            must = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
            print(f"{'not ' if must else ''}ok {number} - {name} # SKIP gdb is not installed")
            failed |= must
            continue
        good, text = test()
        print(f"{'ok' if good else 'not ok'} {number} - {name}")
        if not good:
            failed = True
            print("".join(f"# {line}\n" for line in text.splitlines()[-30:]), end="")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
