#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A million events to a file: what the trace watcher takes for each, beside strace on the same work.

    scale.py BUILD RESULTS.json [--quick]

The work makes children, one after the other, that end at once: four events each (init, clone, exit, free), for strace the
fork, its return, the wait and the end. Every figure is above the same work bare, measured in the same run.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

EVENTS, EVENTS_OF_A_CHILD = 1000000, 4
PATH = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


def own_environment(build, output=None):
    environment = dict(PATH, LD_PRELOAD=f"{build}/shim/libtaskwatch.so")
    if output:
        environment.update(TASKWATCH_WATCHERS="trace", TASKWATCH_TRACE=f"format=json,output={output}")
    return environment


def microseconds(command, environment, children):
    """Of a child."""
    done = subprocess.run([*command, str(children), "0"], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


def calls_of_a_child(work, environment, scratch):
    """System calls, of the creator and of the child; those that wait for one another left out."""
    def calls(children):
        variables = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
        subprocess.run(["strace", "-f", "-c", "-U", "calls,name", "-o", f"{scratch}/calls", *variables, *work,
                        str(children), "0"], env=PATH, check=True, capture_output=True)
        with open(f"{scratch}/calls", encoding="ascii") as file:
            table = re.findall(r"^\s*(\d+) (\w+)$", file.read(), re.M)
        return {name: int(n) for n, name in table if name not in ("total", "futex", "sched_yield")}
    few, many = calls(20), calls(120)
    return {name: (n - few.get(name, 0)) / 100 for name, n in many.items() if n != few.get(name, 0)}


def main():
    build, results = os.path.abspath(sys.argv[1]), sys.argv[2]
    children = EVENTS // EVENTS_OF_A_CHILD
    children_for_strace = children // 10 if "--quick" in sys.argv else children
    work = [f"{build}/tests/bench/work", "events"]
    found = {"events": EVENTS}
    with tempfile.TemporaryDirectory(prefix="taskwatch-bench.") as scratch:
        output = f"{scratch}/trace.jsonl"
        bare = microseconds(work, PATH, children)
        traced = microseconds(work, own_environment(build, output), children)
        with open(output, encoding="ascii") as file:
            lines = sum(1 for _ in file)
        # The program itself: EXEC, EXIT, FREE. Not one is missing and not one too many.
        if lines != found["events"] + 3:
            sys.exit(f"scale: {lines} lines for {found['events']} events of children and 3 of their parent")
        found["bare"] = bare
        found["trace"] = {"bytes": os.path.getsize(output) / lines, "us": (traced - bare) / EVENTS_OF_A_CHILD}
        os.unlink(output)
        if shutil.which("strace"):
            plain = calls_of_a_child(work, own_environment(build), scratch)
            ours = calls_of_a_child(work, own_environment(build, output), scratch)
            found["trace"]["writes"] = ours.get("write", 0) / EVENTS_OF_A_CHILD
            found["trace"]["calls"] = (sum(ours.values()) - sum(plain.values())) / EVENTS_OF_A_CHILD
            found["trace"]["other calls"] = {name: n - plain.get(name, 0) for name, n in ours.items()
                                             if name != "write" and n != plain.get(name, 0)}
            for name, option in (("strace", []), ("strace --seccomp-bpf", ["--seccomp-bpf"])):
                file = f"{scratch}/strace"
                taken = microseconds(["strace", "-f", *option, "-e", "trace=process", "-o", file, *work], PATH,
                                     children_for_strace)
                found[name] = {"bytes": os.path.getsize(file) / children_for_strace / EVENTS_OF_A_CHILD,
                               "us": (taken - bare) / EVENTS_OF_A_CHILD}
    with open(results, "w", encoding="ascii") as file:
        json.dump(found, file, indent=1)
    print(f"{found['events']} events ({children} children), a child takes {bare:.1f} µs bare; of one event, above that:")
    for name in ("trace", "strace", "strace --seccomp-bpf"):
        if name in found:
            print(f"  {name:24} {found[name]['us']:7.2f} µs {found[name]['bytes']:7.1f} bytes")
    if "calls" in found["trace"]:
        print(f"  system calls of an event under trace: {found['trace']['writes']:.2f} write, {found['trace']['calls']:.2f} in all; "
              f"of a child, beside write: {found['trace']['other calls']}")


if __name__ == "__main__":
    main()
