# SPDX-License-Identifier: MIT
# What TASKWATCH_ variables and the files that they name can be, and are refused for: one line in a session.
import os

from harness import Skip, ours, read, same, test


@test("a missing watcher is one line in a tree of 50 processes")
def _(bench):
    bench.tree("nosuch", bench.missing("nosuch"))


@test("two missing watchers are two lines, in the order of the list")
def _(bench):
    bench.tree("nosuch:neither", bench.missing("nosuch") + bench.missing("neither"))


@test("a missing watcher does not keep a good one from working")
def _(bench):
    bench.tree("nosuch:registers_twice", bench.missing("nosuch") + "registered again: -17\n")


@test("a missing path is one line and says that ':' separates when it may be half of a path")
def _(bench):
    bench.tree("/nowhere/a:b/mine.so",
               ours("watcher '/nowhere/a': no such file; give the path of a shared object, without a ':' in "
                    "it: that separates watchers",
                    "watcher 'b/mine.so': a relative path; give an absolute one"))


@test("a relative folder in TASKWATCH_PATH is one line and the others are searched")
def _(bench):
    line = ours("TASKWATCH_PATH: 'plugins' is a relative folder; give absolute ones")
    bench.tree("registers_twice", line + "registered again: -17\n", path="plugins:" + bench.plugins)


@test("a file that is not an ELF file is one line")
def _(bench):
    path = bench.file("text.so", b"#!/bin/sh\n")
    bench.tree(path, ours(f"watcher '{path}': not an ELF file; a watcher is a shared object"))


@test("an ELF file of the other class is one line")
def _(bench):
    data = bytearray(read(bench.plugin("good")))
    data[4] = 1
    path = bench.file("small.so", bytes(data))
    bench.tree(path, ours(f"watcher '{path}': a 32-bit ELF file; this process needs a 64-bit one"))


@test("an ELF file that is cut off is one line and kills no program")
def _(bench):
    path = bench.file("cut.so", read(bench.plugin("good"))[:5000])
    bench.tree(path, ours(f"watcher '{path}': a truncated ELF file; build it anew"))


@test("a watcher of another interface version is one line")
def _(bench):
    bench.tree("wrong_version",
               ours(f"watcher 'wrong_version': {bench.plugin('wrong_version')}: made for version 2 of the "
                    "watcher interface; this library has version 1, compile it anew"))


@test("a shared object without descriptor and registration is one line")
def _(bench):
    bench.tree("nothing",
               ours(f"watcher 'nothing': {bench.plugin('nothing')}: no descriptor, and its constructor "
                    "registered nothing; export taskwatch_watcher or call register_task_watcher()"))


@test("a watcher with an undefined symbol is one line")
def _(bench):
    bench.tree("undefined",
               ours(f"watcher 'undefined': {bench.plugin('undefined')}: undefined symbol: no_such_function; "
                    "a watcher has to find all it needs when it is loaded"))


@test("a watcher whose init refuses is one line with its reason")
def _(bench):
    bench.tree("refuses", ours("watcher 'refuses': width=7 is out of range; a width is 1 to 5"))


@test("a watcher that is named twice works once and is one line")
def _(bench):
    bench.tree("registers_twice:registers_twice",
               ours(f"watcher 'registers_twice': {bench.plugin('registers_twice')}: this file is loaded "
                    "already; name each watcher once") + "registered again: -17\n")


# The three watchers of the library refuse in their own words.

@test("an unknown option of trace is one line")
def _(bench):
    bench.tree("trace",
               ours("watcher 'trace': option: 'colour' is unknown; accepted: format, output, events, argv, "
                    "threads, color"), TRACE="colour=always")


@test("an unknown option of limit is one line")
def _(bench):
    bench.tree("limit", ours("watcher 'limit': option: 'task' is unknown; accepted: tasks, error"),
               LIMIT="task=9")


@test("an unknown option of fault is one line")
def _(bench):
    bench.tree("fault",
               ours("watcher 'fault': rule 1: option: 'of' is unknown; accepted: on, error, when, "
                    "probability, seed, program, call"), FAULT="on=init,of=exec")


@test("a value of trace that is not one is one line")
def _(bench):
    bench.tree("trace",
               ours("watcher 'trace': events: 'exce' is not an event; accepted: init, clone, exec, uid, gid, "
                    "exit, free, process, all, none"), TRACE="events=exit,exce")


@test("a value of limit out of its range is one line")
def _(bench):
    for value in ("0", "1000001", "-1", "many", "5,"):
        bench.tree("limit",
                   ours(f"watcher 'limit': tasks: '{value}' is not a number of tasks; accepted: 1 to "
                        "1000000"),
                   LIMIT="tasks=" + value)


@test("a value of fault out of its range is one line")
def _(bench):
    bench.tree("fault",
               ours("watcher 'fault': rule 1: probability: '1.5' is not a probability; accepted: 0 to 1, 0% to "
                    "100%"),
               FAULT="on=init,probability=1.5")


@test("options that are missing are one line")
def _(bench):
    bench.tree("limit",
               ours("watcher 'limit': tasks: '' is no number of tasks; accepted: tasks=1 to tasks=1000000"))


@test("an error that only children make is one line in the session too")
def _(bench):
    script = "i=0; while [ $i -lt 50 ]; do TASKWATCH_WATCHERS=nosuch /bin/true; i=$((i+1)); done; echo done"
    result = bench.run(["/bin/sh", "-c", script], bench.under("positive_errno"))
    same((result.stderr.decode(), result.stdout, result.returncode), (bench.missing("nosuch"), b"done\n", 0))


# --- strict

@test("TASKWATCH_STRICT=1 makes a configuration error status 125 before any of the program's code")
def _(bench):
    program = bench.compile("early")
    same(bench.bare([program]).stdout, b"constructor\nmain\n")
    result = bench.run([program], bench.under("nosuch", STRICT="1"))
    same((result.stderr.decode(), result.stdout, result.returncode), (bench.missing("nosuch"), b"", 125))


@test("TASKWATCH_STRICT=1 leaves a session without errors alone")
def _(bench):
    bench.tree("registers_twice", "registered again: -17\n", STRICT="1")


@test("TASKWATCH_STRICT=1 tells why a program in mid-tree ends with 125")
def _(bench):
    result = bench.run(["/bin/sh", "-c", "TASKWATCH_WATCHERS=nosuch /bin/echo never; echo $?"],
                       bench.under("positive_errno", STRICT="1"))
    same((result.stderr.decode(), result.stdout, result.returncode), (bench.missing("nosuch"), b"125\n", 0))


# --- off

@test("TASKWATCH_DISABLE=1 says nothing, loads nothing and hands down what it was given")
def _(bench):
    if not os.path.exists("/proc/self/maps"):
        raise Skip("no /proc")
    bench.tree("nosuch:refuses:registers_twice", "", DISABLE="1")
    maps = ["/bin/cat", "/proc/self/maps"]
    loaded = b"registers_twice.so"
    same(loaded in bench.run(maps, bench.under("registers_twice")).stdout, True)
    same(loaded in bench.run(maps, bench.under("registers_twice", DISABLE="1")).stdout, False)
    env = bench.under("registers_twice", DISABLE="1")
    result = bench.run(["/bin/sh", "-c", "exec /usr/bin/env -u PWD"], env)
    same(sorted(result.stdout.decode().splitlines()),
         sorted(f"{name}={value}" for name, value in env.items()))


@test("TASKWATCH_DISABLE=1 beats TASKWATCH_STRICT=1")
def _(bench):
    bench.tree("nosuch", "", DISABLE="1", STRICT="1")


@test("no watchers, or only colons, is no error")
def _(bench):
    bench.tree("", "")
    bench.tree("::", "")
