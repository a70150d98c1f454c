# SPDX-License-Identifier: MIT
# Watchers that break the rules in a callback: the program does not notice, and the session says it once.
import json
import os

from harness import TREE, ours, read, same, test


def stop_warning(name):
    return ours(f"watcher '{name}' returned STOP from FREE, which cannot be stopped: the others were called "
                "all the same")


@test("STOP from FREE is one warning line for each watcher that does it and stops nobody")
def _(bench):
    trace = os.path.join(bench.work, "trace")
    bench.tree("stop_from_free:stop_from_free_too:trace",
               stop_warning("stop_from_free") + stop_warning("stop_from_free_too"),
               TRACE=f"format=json,events=free,output={trace}")
    same(len(read(trace).splitlines()), 51)


@test("a positive errno returned from a callback means go on")
def _(bench):
    trace = os.path.join(bench.work, "trace")
    bench.tree("positive_errno:trace", "", TRACE=f"format=json,events=clone,output={trace}")
    same([json.loads(line).get("vetoed") for line in read(trace).splitlines()], [None] * 50)


@test("a watcher that unregisters itself inside its callback is not called again")
def _(bench):
    bench.tree("unregisters_itself", "unregister: 0\n")


@test("a fork inside a callback is made and not watched")
def _(bench):
    trace = os.path.join(bench.work, "trace")
    bench.tree("forks:trace", "forked inside the callback\n",
               TRACE=f"format=json,events=clone,output={trace}")
    same(len(read(trace).splitlines()), 50)


@test("a fork inside a callback of a fork leaves the program's own children alone")
def _(bench):
    # bash makes its subshells with fork and learns of their ends by SIGCHLD.
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do (exit $i) & wait $!; echo $?; done; jobs; exit 3"
    bare = bench.bare(["/bin/bash", "-c", script])
    result = bench.run(["/bin/bash", "-c", script], bench.under("forks"))
    same((result.stdout, result.returncode), (bare.stdout, bare.returncode))
    same(result.stderr, b"forked inside the callback\n")


@test("registering a block twice is -EEXIST")
def _(bench):
    bench.tree("registers_twice", "registered again: -17\n")


@test("all of them together are each one line")
def _(bench):
    result = bench.run(["/bin/sh", "-c", TREE], bench.under(
        "stop_from_free:positive_errno:unregisters_itself:forks:registers_twice"))
    same(sorted(result.stderr.decode().splitlines()),
         ["forked inside the callback", stop_warning("stop_from_free").rstrip(), "registered again: -17",
          "unregister: 0"])
    same((result.stdout, result.returncode), (b"done\n", 7))
