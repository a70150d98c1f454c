#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What we cost beside the tools that people use for such things, all of them in one go.

    peers.py BUILD CACHE RESULTS.json [--quick]

Every kind of work under every configuration, interleaved: a round does each work once under each configuration, in
an order that rotates, so that a slow moment of the machine hits all alike. What is reported of a configuration are
the ratios to the bare program of the same round. `bare again` is the bare program once more: what it differs from
1 is noise. A tool that is slow is measured in fewer rounds; a tool that is not here, or under which the work fails,
has its reason in place of figures.

CACHE is where scripts/bench has unpacked what must not be installed.
"""
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

NOTHING = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "LC_ALL": "C"}

KINDS = ["fork", "vfork-exec", "posix_spawn", "system", "thread", "seteuid"]

# Programs of different sizes, as scripts use them.
SCRIPT = "".join(f"/bin/true {n}\n/bin/echo {n} >/dev/null\nx=$(expr {n} + 1)\ncat /dev/null\nbasename /a/b{n} >/dev/null\n"
                 for n in range(100))

POOL = """
import multiprocessing
def square(n):
    return n * n
if __name__ == "__main__":
    for n in range(10):
        with multiprocessing.get_context("fork").Pool(4) as pool:
            assert pool.map(square, range(100))[-1] == 9801
"""


class Configuration:
    """A name, what stands before a command, and what is added to its environment. `reason`: why it cannot be run."""

    def __init__(self, name, before=(), environment=None, ours=False, needs=(), after=None):
        self.name, self.before, self.ours, self.after = name, list(before), ours, after
        self.environment = dict(NOTHING, **(environment or {}))
        missing = [need for need in needs if not (os.path.exists(need) if "/" in need else shutil.which(need))]
        self.reason = f"not here: {', '.join(missing)}" if missing else None


def configurations(build, cache, scratch):
    library = f"{build}/shim/libtaskwatch.so"
    trace = f"{scratch}/trace.jsonl"
    snoopy = f"{cache}/snoopy/lib/x86_64-linux-gnu/libsnoopy.so"
    lttng = "/usr/lib/x86_64-linux-gnu/liblttng-ust-fork.so.1"
    pseudo = {"PSEUDO_PREFIX": "/usr", "PSEUDO_LOCALSTATEDIR": f"{scratch}/pseudo"}
    os.makedirs(pseudo["PSEUDO_LOCALSTATEDIR"])
    # What strace is asked for is what we are: processes and their ids.
    strace = ["-f", "-qq", "-e", "trace=%process,%creds", "-o", f"{scratch}/strace"]

    def ours(name, chosen=None, **options):
        environment = {"LD_PRELOAD": library}
        if chosen:
            environment.update(TASKWATCH_WATCHERS=chosen, **options)
        return Configuration(name, environment=environment, ours=True,
                             after=lambda: os.path.exists(trace) and os.unlink(trace))

    def stop_pseudo():
        # Its daemon outlives its programs; the next start would find it warm.
        try:
            with open(f"{pseudo['PSEUDO_LOCALSTATEDIR']}/pseudo.pid", encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGTERM)
        except (OSError, ValueError):
            pass

    json_trace = {"TASKWATCH_TRACE": f"format=json,output={trace}"}
    return [
        Configuration("bare"),
        Configuration("bare again"),
        Configuration("empty preload", environment={"LD_PRELOAD": f"{build}/tests/bench/empty.so"}),
        ours("**libtaskwatch, no watchers**"),
        ours("**trace to JSON**", "trace", **json_trace),
        ours("**limit, fault and trace**", "limit:fault:trace", **json_trace, TASKWATCH_LIMIT="tasks=100000",
             TASKWATCH_FAULT="on=init,when=1000000000"),
        Configuration("snoopy (execs only)", environment={"LD_PRELOAD": snoopy}, needs=[snoopy]),
        Configuration("fakeroot", ["fakeroot", "--"], needs=["fakeroot"]),
        Configuration("pseudo", ["pseudo"], pseudo, needs=["pseudo"], after=stop_pseudo),
        Configuration("libfiu (fiu-run)", ["fiu-run", "-x"], needs=["fiu-run"]),
        Configuration("lttng-ust-fork", environment={"LD_PRELOAD": lttng}, needs=[lttng]),
        Configuration("strace -f --seccomp-bpf", ["strace", "--seccomp-bpf", *strace], needs=["strace"]),
        Configuration("strace -f", ["strace", *strace], needs=["strace"]),
        Configuration("bear (intercept)", ["bear", "--output", f"{scratch}/bear.json", "--"], needs=["bear"]),
    ]


class Failed(Exception):
    pass


def run(configuration, command, folder):
    """Its standard output and the seconds that it took."""
    begun = time.monotonic()
    try:
        done = subprocess.run(configuration.before + command, env=configuration.environment, cwd=folder,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=300, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed("took more than 300 s") from error
    seconds = time.monotonic() - begun
    if configuration.after:
        configuration.after()
    if done.returncode != 0:
        raise Failed(f"status {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout, seconds


class Kind:
    """Times itself, in microseconds of one."""

    unit = "µs"

    def __init__(self, build, name):
        self.name = name
        self.command = [f"{build}/tests/bench/work", name, "200", "0.3"]

    def measure(self, configuration, scratch):
        return float(run(configuration, self.command, scratch)[0])


class Whole:
    """A whole command by the clock on the wall, in milliseconds; what `before` does is not in it."""

    unit = "ms"

    def __init__(self, name, command, before=lambda: None):
        self.name, self.command, self.before = name, command, before

    def measure(self, configuration, scratch):
        self.before()
        return run(configuration, self.command, scratch)[1] * 1000


def works(build, scratch):
    tree = f"{scratch}/tree"
    demo_tree = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/demo-tree")
    subprocess.run([demo_tree, tree, "199"], check=True)
    for name, text in {"script": SCRIPT, "pool.py": POOL}.items():
        with open(f"{scratch}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def clean():
        subprocess.run(["make", "-s", "-C", tree, "clean"], check=True)

    return [Kind(build, name) for name in KINDS] + [
        Whole("script of 500 commands", ["/bin/sh", f"{scratch}/script"]),
        Whole("make -j2, 200 C files", ["make", "-s", "-j2", "-C", tree], clean),
        Whole("python pool", ["python3", f"{scratch}/pool.py"]),
    ]


def rounds_for(configuration, work, first_seconds, quick):
    """How often: ours, the bare program and the floor often enough for a percent, the others for a digit."""
    near = configuration.ours or configuration.name in ("bare", "bare again", "empty preload")
    most, budget = (9 if quick else 25, 30 if quick else 120) if near else (3 if quick else 7, 6 if quick else 40)
    return max(1, min(most, int(budget / max(first_seconds, 0.001))))


def measure(all_configurations, all_works, scratch, quick, say):
    """samples[work][configuration] = [[round, value]...], failures[work][configuration] = reason"""
    samples, failures = {}, {}
    for work in all_works:
        values = samples.setdefault(work.name, {})
        failed = failures.setdefault(work.name, {})
        left = {}
        for configuration in all_configurations:
            if configuration.reason:
                failed[configuration.name] = configuration.reason
            else:
                left[configuration.name] = 1  # the first round decides how many more
        number = 0
        while any(n > 0 for n in left.values()):
            turn = number % len(all_configurations)
            for configuration in all_configurations[turn:] + all_configurations[:turn]:
                # Those without rounds left sit this one out; the bare program is in each, to be compared with.
                if left.get(configuration.name, 0) <= 0 and configuration.name != "bare":
                    continue
                begun = time.monotonic()
                try:
                    value = work.measure(configuration, scratch)
                except Failed as error:
                    failed[configuration.name] = str(error)
                    left[configuration.name] = 0
                    continue
                seconds = time.monotonic() - begun
                left[configuration.name] -= 1
                if number == 0:
                    left[configuration.name] = rounds_for(configuration, work, seconds, quick) - 1
                values.setdefault(configuration.name, []).append([number, value])
            number += 1
        say(f"{work.name}: {number} rounds")
    return samples, failures


def summary(samples, failures, all_works):
    """What the table is made of: per work and configuration the median, and median and quartiles of the paired ratios."""
    table = {}
    for work in all_works:
        bare = dict(map(tuple, samples[work.name]["bare"]))
        rows = table.setdefault(work.name, {"unit": work.unit, "rows": {}})["rows"]
        for name, values in samples[work.name].items():
            ratios = [value / bare[number] for number, value in values if number in bare]
            low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
            rows[name] = {"median": statistics.median(value for _, value in values),
                          "ratio": statistics.median(ratios), "low": low, "high": high, "rounds": len(ratios)}
        for name, reason in failures[work.name].items():
            rows[name] = {"failed": reason}
    return table


def main():
    quick = "--quick" in sys.argv
    build, cache, results = [argument for argument in sys.argv[1:] if argument != "--quick"]
    build, cache = os.path.abspath(build), os.path.abspath(cache)

    def say(text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="taskwatch-bench.") as scratch:
        os.chmod(scratch, 0o755)
        all_configurations, all_works = configurations(build, cache, scratch), works(build, scratch)
        samples, failures = measure(all_configurations, all_works, scratch, quick, say)
    table = summary(samples, failures, all_works)
    with open(results, "w", encoding="ascii") as file:
        json.dump({"configurations": [c.name for c in all_configurations], "works": table}, file, indent=1)
    for work, content in table.items():
        print(f"{work} ({content['unit']})")
        for name in [c.name for c in all_configurations]:
            row = content["rows"][name]
            if "failed" in row:
                print(f"  {name:32} {row['failed']}")
            else:
                print(f"  {name:32} {row['median']:10.2f}  ratio {row['ratio']:8.3f}  "
                      f"({row['low']:.3f} to {row['high']:.3f}, {row['rounds']} rounds)")


if __name__ == "__main__":
    main()
