#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library under gdb: unwinding at each instruction of vfork, and the held child under a debugger.

    run.py PROGRAM LIBRARY WATCHER_FOLDER

Prints TAP. gdb is required; without it all is skipped, and TASKWATCH_TESTS_MUST_RUN=1 makes that a failure.
"""
import os
import shutil
import subprocess
import sys
import tempfile

PROGRAM, LIBRARY, WATCHERS = (os.path.abspath(a) for a in sys.argv[1:4])

# Steps one instruction at a time through our vfork and asks for a backtrace at each.
STEP = """
import gdb
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set follow-fork-mode {side}")
gdb.execute("set detach-on-fork on")
gdb.execute("set breakpoint pending on")
gdb.execute("break make_child")
gdb.execute("run")
gdb.execute("break vfork")
gdb.execute("continue")
steps = bad = 0
while steps < 4000:
    frame = gdb.newest_frame()
    if frame.name() == "make_child":
        break
    if frame.name() in ("vfork", "__vfork"):
        names = []
        while frame is not None:
            names.append(frame.name())
            frame = frame.older()
        if names[1:3] != ["make_child", "main"]:
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


def unwinding(side):
    text = gdb(STEP.format(side=side), ["vfork"])
    for line in text.splitlines():
        if line.startswith("STEPS"):
            words = line.split()
            return int(words[1]) >= 10 and words[3] == "0", text
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
