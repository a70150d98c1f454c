#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library under gdb: unwinding at each instruction of vfork and syscall, the held child under a debugger, probes.

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


# Stops at the library's probes and prints their arguments.
PROBES = """
import gdb
gdb.execute("set pagination off")
gdb.execute("set breakpoint pending on")
begin, end = (gdb.Breakpoint("-probe-stap taskwatch:" + name) for name in ("walk_begin", "walk_end"))
gdb.execute("run")
begun = 0
while gdb.selected_inferior().pid:
    action, pid, task = (int(gdb.parse_and_eval("$_probe_arg%d" % i)) for i in range(3))
    if begin.hit_count > begun:
        print("PROBE begin", hex(action), pid, task, gdb.parse_and_eval("(char *)$_probe_arg3").string())
    else:
        print("PROBE end", hex(action), pid, task, int(gdb.parse_and_eval("$_probe_arg3")))
    begun = begin.hit_count
    gdb.execute("continue", to_string=True)
"""


def gdb(script, arguments, more_watchers=None):
    environment = dict(os.environ, LC_ALL="C", DEBUGINFOD_URLS="")
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(script)
        file.flush()
        variables = {"LD_PRELOAD": LIBRARY, "TASKWATCH_PATH": WATCHERS, "TASKWATCH_WATCHERS": "busy",
                     "TASKWATCH_BUSY": "us=0"}
        for name, options in (more_watchers or {}).items():
            variables["TASKWATCH_WATCHERS"] += ":" + name
            variables["TASKWATCH_" + name.upper()] = options
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


def probes(more_watchers, expected):
    """The probes that the program passes, without its process ids, which are told to be the right ones by being two."""
    text = gdb(PROBES, ["fork"], more_watchers)
    seen, pids = [], set()
    for line in text.splitlines():
        if line.startswith("PROBE"):
            _, side, action, pid, task, last = line.split()
            pids.add(int(pid))
            seen.append(f"{side} {action} {task} {last}")
    pids.discard(0)  # INIT's: there is none yet
    text += "\nexpected:\n" + "\n".join(expected)
    return seen == expected and len(pids) == (1 if more_watchers else 2), text


EACH_EVENT = ["begin 0x40003 1 execve", "end 0x40003 1 0", "begin 0x1 2 fork", "end 0x1 2 0", "begin 0x2 2 fork",
              "end 0x2 2 0", "begin 0xfffe 1 exit", "end 0xfffe 1 0", "begin 0xffff 1 exit", "end 0xffff 1 0"]
# NOTIFY_STOP_MASK | EAGAIN, as notifier_from_errno() packs it; what fork's failure makes of it is FREE.
STOPPED_INIT = (EACH_EVENT[:2] + ["begin 0x1 2 fork", f"end 0x1 2 {0x8000 | 1 + 11}", "begin 0xffff 2 fork",
                                  "end 0xffff 2 0"] + EACH_EVENT[6:])


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
        ("a walk of each event passes its probes", lambda: probes({}, EACH_EVENT)),
        ("a probe tells who stopped what", lambda: probes({"fault": "on=init"}, STOPPED_INIT)),
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
