#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the library costs, counted: instructions (valgrind's callgrind) and system calls (strace -c), both above what an
empty preload costs in the same run, compared with the numbers in baseline.json. A busy machine does not change them.

    count.py BUILD             TAP: a row that costs more than it did fails, with the number it had and has
    count.py BUILD --renew     writes baseline.json; a change that makes something dearer does it and says why
    count.py BUILD --prove     with heavier.so before the library: each row must be found too high

Instructions are those of the program and of its threads; of a fork, the creator's. System calls are also the children's, but
for those that wait: how many there are of them is a matter of who comes first.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "baseline.json")
LIBRARY, EMPTY, IDLE_WATCHER = "shim/libtaskwatch.so", "tests/bench/empty.so", "tests/bench/idle.so"
TARGET, HEAVIER = "tests/counted/counted-target", "tests/counted/heavier.so"
# A wait, and the look whether the one who is waited for still lives.
WAITING = {"futex", "sched_yield", "nanosleep", "clock_nanosleep", "restart_syscall", "membarrier", "tgkill", "getppid"}

# By how much a count may exceed the kept one. Records have times and ids in them, of so many digits; two threads that
# wait for one another take turns more often or less.
INSTRUCTIONS_RATIO, INSTRUCTIONS_RATIO_OF_THREADS, INSTRUCTIONS = 1.06, 1.15, 150
SYSTEM_CALLS, SYSTEM_CALLS_OF_THREADS = 0.5, 1.0

WATCHERS = {
    "no watchers": {},
    "trace": {"trace": "format=json,output={scratch}/trace.jsonl"},
    "limit": {"limit": "tasks=100000"},
    "fault": {"fault": "on=init,when=1000000000"},
}
WATCHERS["trace, limit and fault"] = {**WATCHERS["trace"], **WATCHERS["limit"], **WATCHERS["fault"]}
IDLE = "a watcher that does nothing"
WATCHERS[IDLE] = {"{scratch}/idle.so": ""}
KINDS = {"fork": 20, "thread": 20, "seteuid": 200}


class Session:
    """One that lasts, as the program has it that a launcher starts: a shell under the library, whose child says its name
    and waits for the end of our pipe."""

    def __init__(self, environment):
        self.shell = subprocess.Popen(["sh", "-c", "sh -c 'echo $TASKWATCH_SESSION; read end'; :"], env=environment,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        self.name = self.shell.stdout.readline().strip()

    def __enter__(self):
        return self.name

    def __exit__(self, *_):
        self.shell.communicate()


class Counter:
    def __init__(self, build, scratch, before_library):
        # Copied: names are gone through byte by byte, so that a longer one costs more. With `scratch`, all are as long anywhere.
        for file in (LIBRARY, EMPTY, IDLE_WATCHER, TARGET, HEAVIER):
            shutil.copy(f"{build}/{file}", scratch)
        self.scratch = scratch
        self.before_library = [self.place(file) for file in before_library]
        self.target = self.place(TARGET)
        self.empty_counts = {}
        self.session = None

    def place(self, file):
        return f"{self.scratch}/{os.path.basename(file)}"

    def environment(self, watchers):
        variables = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": ":".join(self.before_library + [self.place(LIBRARY)])}
        if watchers:
            variables["TASKWATCH_WATCHERS"] = ":".join(watchers).format(scratch=self.scratch)
        for name, options in watchers.items():
            if options:
                variables["TASKWATCH_" + name.upper()] = options.format(scratch=self.scratch)
        if self.session:
            variables["TASKWATCH_SESSION"] = self.session
        return variables

    def empty(self):
        return {"PATH": "/usr/bin:/bin", "LD_PRELOAD": self.place(EMPTY)}

    def run(self, count, environment, kind, times):
        return count(environment, [self.target, kind, str(times)])

    def above_empty(self, count, watchers, kind=None):
        """Of a start, or of one of `kind`: what is left when a shorter run is taken from a longer one."""
        def cost(environment):
            if not kind:
                return self.run(count, environment, "fork", 0)
            short, long = KINDS[kind], 3 * KINDS[kind]
            return (self.run(count, environment, kind, long) - self.run(count, environment, kind, short)) / (long - short)

        key = (count.__name__, kind)
        if key not in self.empty_counts:
            self.empty_counts[key] = cost(self.empty())
        return round(cost(self.environment(watchers)) - self.empty_counts[key], 1)

    def instructions(self, environment, command):
        # Not through valgrind(1): it is a program like any other, the library would come along and see that the
        # tool that it executes is static, and take itself out.
        tool = callgrind()
        variables = dict(environment, VALGRIND_LAUNCHER="/usr/bin/valgrind")
        done = subprocess.run([tool, "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], env=variables,
                              capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=self.scratch)
        # A forked child says the same when it ends; the program itself ends last.
        found = re.findall(r"Collected : (\d+)", done.stderr)
        if done.returncode != 0 or not found:
            raise SystemExit(f"count: {' '.join(command)} under callgrind: status {done.returncode}\n{done.stderr}")
        return int(found[-1])

    def system_calls(self, environment, command):
        table = f"{self.scratch}/calls"
        variables = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
        done = subprocess.run(["strace", "-f", "-c", "-U", "calls,name", "-o", table, *variables, *command],
                              env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, cwd=self.scratch)
        with open(table, encoding="ascii") as file:
            calls = {name: int(n) for n, name in re.findall(r"^\s*(\d+) (\w+)$", file.read(), re.M)}
        if done.returncode != 0 or not calls.pop("total", 0):
            raise SystemExit(f"count: {' '.join(command)} under strace: status {done.returncode}\n{done.stderr}")
        return sum(n for name, n in calls.items() if name not in WAITING)


def callgrind():
    name = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine)
    found = [f"{folder}/callgrind-{name}-linux" for folder in ("/usr/libexec/valgrind", "/usr/lib/valgrind")]
    return next(filter(os.path.exists, found), None)


def count_all(counter):
    rows = {}

    def count(row, watchers, kind=None):
        for name, counted in (("instructions", counter.instructions), ("system calls", counter.system_calls)):
            rows[f"{name} of a {row}"] = counter.above_empty(counted, watchers, kind)

    count("start, no watchers", {})
    count("start that founds a session, trace", WATCHERS["trace"])
    # It looks for sessions that nobody cleared away; how many there are is the machine's.
    del rows["system calls of a start that founds a session, trace"]
    with Session(counter.environment(WATCHERS["limit"])) as counter.session:
        for name in list(WATCHERS)[1:]:
            count(f"start, {name}", WATCHERS[name])
        for kind in KINDS:
            for name in ("no watchers", IDLE, "trace"):
                count(f"{kind}, {name}", WATCHERS[name], kind)
    return rows


def most(row, kept):
    of_threads = " thread, " in row
    if row.startswith("instructions"):
        ratio = INSTRUCTIONS_RATIO_OF_THREADS if of_threads else INSTRUCTIONS_RATIO
        return max(kept * ratio, kept + INSTRUCTIONS)
    return kept + (SYSTEM_CALLS_OF_THREADS if of_threads else SYSTEM_CALLS)


def here():
    """What the numbers hang on besides the source."""
    def version(command):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return {"libc": os.confstr("CS_GNU_LIBC_VERSION"), "valgrind": version(["valgrind", "--version"]),
            "compiler": version(["gcc", "-dumpfullversion"])}


def skip(reason):
    must = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    print(f"1..1\n{'not ' if must else ''}ok 1 - counted # SKIP {reason}")
    return 1 if must else 0


def main():
    build, mode = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    missing = [name for name, found in (("valgrind", callgrind()), ("strace", shutil.which("strace"))) if not found]
    if missing:
        return skip(f"{' and '.join(missing)} not installed")
    with open(BASELINE, encoding="ascii") as file:
        baseline = json.load(file)
    if mode != "--renew" and baseline["with"] != here():
        return skip(f"the kept numbers are those of {baseline['with']}, here is {here()}")
    before = [HEAVIER] if mode == "--prove" else []
    with tempfile.TemporaryDirectory(prefix="taskwatch-counted.", dir="/tmp") as scratch:
        rows = count_all(Counter(build, scratch, before))
    if mode == "--renew":
        with open(BASELINE, "w", encoding="ascii") as file:
            json.dump({"with": here(), "above an empty preload": rows}, file, indent=1)
            file.write("\n")
        return 0

    kept = baseline["above an empty preload"]
    print(f"1..{len(rows)}")
    failed = False
    for number, (row, value) in enumerate(rows.items(), 1):
        good = value <= most(row, kept[row]) if not before else value > most(row, kept[row])
        failed |= not good
        print(f"{'ok' if good else 'not ok'} {number} - {row}: {value:g}, kept {kept[row]:g}"
              + (", found too high" if before and good else ""))
        if not before and kept[row] > most(row, value):
            print(f"# {row} has become cheaper: count.py {os.path.basename(build)} --renew")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
