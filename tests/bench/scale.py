#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A million events to a file: what the trace watcher takes for each, beside strace on the same work.

    scale.py BUILD RESULTS.json [--quick]

The work makes children, one after the other, that end at once. Of each trace writes four records (init, clone, exit, free), with
ids, times and the parent; strace six lines (clone, the wait begun and resumed, exit_group, the end, the parent's SIGCHLD). Both are
told per record of trace's, so it is the same work. Every figure is the median, over rounds that take turns, of the time above the same
work bare in the same round.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

EVENTS, EVENTS_OF_A_CHILD, ROUNDS = 1000000, 4, 20
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
    children = EVENTS // EVENTS_OF_A_CHILD // ROUNDS
    children_of_peers = children // 10 if "--quick" in sys.argv else children
    work = [f"{build}/tests/bench/work", "events"]
    found = {"events": EVENTS}
    with tempfile.TemporaryDirectory(prefix="taskwatch-bench.") as scratch:
        output, file = f"{scratch}/trace.jsonl", f"{scratch}/strace"
        peers = {"strace": [], "strace --seccomp-bpf": ["--seccomp-bpf"]} if shutil.which("strace") else {}
        times = {name: [] for name in ("bare", "trace", *peers)}
        for _ in range(ROUNDS):
            bare = microseconds(work, PATH, children)
            times["bare"].append(bare)
            times["trace"].append(microseconds(work, own_environment(build, output), children) - bare)
            for name, option in peers.items():
                taken = microseconds(["strace", "-f", *option, "-e", "trace=process", "-o", file, *work], PATH, children_of_peers)
                times[name].append(taken - bare)
                found[name] = {"bytes": os.path.getsize(file) / children_of_peers / EVENTS_OF_A_CHILD}
        with open(output, encoding="ascii") as trace:
            lines = sum(1 for _ in trace)
        # The program itself, in each round: EXEC, EXIT, FREE. Not one is missing and not one too many.
        if lines != EVENTS + 3 * ROUNDS:
            sys.exit(f"scale: {lines} lines for {EVENTS} events of children and 3 of their parent in each of {ROUNDS} rounds")
        found["trace"] = {"bytes": os.path.getsize(output) / lines}
        found["bare"] = statistics.median(times.pop("bare"))
        for name, above in times.items():
            found[name]["us"] = statistics.median(above) / EVENTS_OF_A_CHILD
        os.unlink(output)
        if peers:
            plain = calls_of_a_child(work, own_environment(build), scratch)
            ours = calls_of_a_child(work, own_environment(build, output), scratch)
            found["trace"]["writes"] = ours.get("write", 0) / EVENTS_OF_A_CHILD
            found["trace"]["calls"] = (sum(ours.values()) - sum(plain.values())) / EVENTS_OF_A_CHILD
            found["trace"]["other calls"] = {name: n - plain.get(name, 0) for name, n in ours.items()
                                             if name != "write" and n != plain.get(name, 0)}
    with open(results, "w", encoding="ascii") as file:
        json.dump(found, file, indent=1)
    print(f"{found['events']} events ({children} children), a child takes {found['bare']:.1f} µs bare; above that, by four:")
    for name in ("trace", "strace", "strace --seccomp-bpf"):
        if name in found:
            print(f"  {name:24} {found[name]['us']:7.2f} µs {found[name]['bytes']:7.1f} bytes")
    if "calls" in found["trace"]:
        print(f"  system calls of an event under trace: {found['trace']['writes']:.2f} write, {found['trace']['calls']:.2f} in all; "
              f"of a child, beside write: {found['trace']['other calls']}")


if __name__ == "__main__":
    main()
