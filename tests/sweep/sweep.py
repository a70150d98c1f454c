#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each creation, exec and end, killed at each of its points, as creator (and deliverer) and as child.

  sweep.py --build FOLDER [--functions] [--only SCENARIO] [--role creator|child] [--point N] [--every N] [--keep DIRECTORY]

Points are the system calls, before and after each; with --functions the entries of the library's functions as well (the
unstripped library names them; nothing is built into it for this). A run is repeated exactly by --only, --role, --point.
What must hold in each is the stress test's invariant, with ptrace as the kernel's witness. TAP on stdout."""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "stress"))
import invariant  # noqa: E402
from stress import Tap, own_memory, segments  # noqa: E402

HUNG = 3
CAPACITY = 4096


def scenarios(options):
    subject = os.path.join(options.programs or os.path.join(options.build, "tests", "sweep"), "subject")
    listing = subprocess.run([subject], stdout=subprocess.PIPE, text=True, check=False).stdout
    return [name for name in listing.split() if options.only in ("", name)]


class Sweep:
    def __init__(self, options):
        self.options = options
        self.build = os.path.realpath(options.build)
        self.own = options.programs or os.path.join(self.build, "tests", "sweep")
        self.stress = options.programs or os.path.join(self.build, "tests", "stress")
        self.library = options.library or os.path.join(self.build, "shim", "libtaskwatch.so")
        self.folder = tempfile.mkdtemp(prefix="taskwatch-sweep.")
        self.runs = 0
        self.extra, self.stderr = [], []  # options of the tracer; what was printed
        if options.functions:
            self.write_breakpoints()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_breakpoints(self):
        listing = subprocess.run(["nm", self.library], stdout=subprocess.PIPE, text=True, check=True).stdout
        offsets = [word[0] for word in map(str.split, listing.splitlines()) if word[1] in "tT"]
        assert len(offsets) > 100, "the library is stripped: its functions have no names"
        with open(self.path("breakpoints"), "w", encoding="ascii") as stream:
            stream.write("\n".join([self.library, *offsets]) + "\n")

    def run(self, scenario, role, point):
        """What the tracer said, and the violations."""
        with open(self.path("journal"), "wb") as stream:
            stream.write(CAPACITY.to_bytes(4, "little"))
            stream.truncate(invariant.PAGE + CAPACITY * invariant.ENTRY.size)
        open(self.path("trace"), "w", encoding="ascii").close()
        settings = {"LD_PRELOAD": self.library, "TASKWATCH_PATH": os.path.join(self.build, "watchers") + ":" + self.stress,
                    "TASKWATCH_WATCHERS": "trace:journal", "TASKWATCH_JOURNAL": "file=" + self.path("journal"),
                    "TASKWATCH_TRACE": "format=json,threads=1,output=" + self.path("trace")}
        command = [os.path.join(self.own, "sweep"), "--role", role, "--point", str(point)]
        for name, value in settings.items():
            command += ["--set", f"{name}={value}"]
        if self.options.functions:
            command += ["--breakpoints", self.path("breakpoints")]
        command += self.extra
        before = segments()
        done = subprocess.run([*command, self.folder, os.path.join(self.own, "subject"), scenario], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        self.runs += 1
        said, self.stderr = done.stdout.strip(), done.stderr.splitlines()[:3]
        if done.returncode == HUNG:
            return said, [said]
        violations = [] if done.returncode == 0 else [f"the tracer ended with {done.returncode}: {said}"]
        violations += [f"stderr: {line}" for line in self.stderr]
        violations += self.left(before) + self.judge()
        return said, violations

    def left(self, before):
        with open(self.path("kernel"), encoding="ascii") as stream:
            made = {int(line.split()[2]) for line in stream if line.startswith("fork ")}
        left = [id_ for id_, maker in segments().items() if id_ not in before and maker in made]
        for id_ in left:
            subprocess.run(["ipcrm", "-m", id_], check=False)
        return [f"memory of the session is left: {left}"] if left else []

    def judge(self):
        trace, _ = invariant.read_trace(self.path("trace"))
        journal, waited, _ = invariant.read_journal(self.path("journal"))
        judge = invariant.Judge({"trace": trace, "journal": journal}, invariant.Kernel(self.path("kernel")),
                                invariant.Kills(self.path("kills")), waited)
        violations = judge.judge()
        if not trace:
            violations.append("nothing was told")
        return violations

    def sweep(self, scenario, role):
        """All points of one role, as arguments of Tap.say(). The first run, without a kill, tells how many there are."""
        said, violations = self.run(scenario, role, 0)
        count = re.fullmatch(r"ended after (\d+) points", said)
        if violations or not count:
            return False, f"{scenario}, {role}, nobody killed", violations or [said]
        if count[1] == "0":
            return None  # it makes no child
        failed, point = [], self.options.point or 1
        while True:
            said, violations = self.run(scenario, role, point)
            if said.startswith("ended"):
                break
            if violations:
                again = f"--only {scenario} --role {role} --point {point}"
                failed += [f"{again}: {said}", *("    " + line for line in violations[:6])]
                if self.options.keep:
                    shutil.copytree(self.folder, os.path.join(self.options.keep, f"{scenario}-{role}-{point}"), dirs_exist_ok=True)
            if self.options.point:
                break
            point += self.options.every
        return not failed, f"{scenario}, {role}: killed at each of {point - 1} points", failed[:60]


def sweep_one(options, scenario, role):
    sweep = Sweep(options)
    try:
        return sweep.sweep(scenario, role), sweep.runs
    finally:
        shutil.rmtree(sweep.folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--programs", help="folder of sweep, subject, journal.so")
    parser.add_argument("--library")
    parser.add_argument("--functions", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--role")
    parser.add_argument("--point", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--keep")
    options = parser.parse_args()
    tap, runs = Tap(), 0
    own_memory()
    roles = [options.role] if options.role else ["creator", "child"]
    jobs = [(options, scenario, role) for scenario in scenarios(options) for role in roles]
    # Each run is a session of its own.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for said, count in pool.map(sweep_one, *zip(*jobs)):
            runs += count
            if said:
                tap.say(*said)
    print(f"# {runs} runs")
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
