#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Each system call that the library makes by itself, failed once: the program runs on.

  faults.py --build FOLDER [--only SCENARIO] [--role all|both] [--point N] [--error ERRNO]

Of the first scenario every process counts, from its first instruction, and each call fails with each error; of the others
what they make counts, and the errors take turns. A call that the library makes in a genuine
function's place (clone, execve, wait4) may fail the program's call, whose scenarios bear that; nothing else may change how a
process ends. Nobody hangs, nobody is killed by a signal that the program did not raise, nothing is printed but one refusal. What is told
may be less, and is not looked at. TAP on stdout."""
import argparse
import collections
import errno
import os
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "stress"))
sys.path.insert(0, HERE)
from stress import Tap, own_memory, segments  # noqa: E402
import sweep  # noqa: E402

# What stands for the genuine function's own system call: clone, fork, vfork, execve, wait4, waitid, execveat, clone3; and
# of popen: dup3, pipe2.
GENUINE = {56, 57, 58, 59, 61, 247, 292, 293, 322, 435}
# A watcher that cannot be had is refused in one line, and the program runs.
REFUSAL = re.compile(r"libtaskwatch: watcher '\w+': ")
ERRORS = (errno.EPERM, errno.ENOMEM, errno.EINTR)


class Faults(sweep.Sweep):
    noticed = 0

    def run(self, scenario, role, point):
        before = segments()
        said, _ = super().run(scenario, role, point)
        for id_ in segments():
            if id_ not in before and self.made(id_):
                subprocess.run(["ipcrm", "-m", id_], check=False)
        return said

    def made(self, id_):
        return segments().get(id_) in self.makers

    def judge(self):
        ends = collections.Counter()
        self.makers = set()
        with open(self.path("kernel"), encoding="ascii") as stream:
            for line in stream:
                word = line.split()
                if word[0] == "fork":
                    self.makers.add(int(word[2]))
                if word[0] == "exit" and word[1] == word[2]:
                    ends[int(word[3])] += 1
        self.ends = ends
        return []

    def fail(self, scenario, role, point, error):
        """What the tracer said."""
        self.extra = ["--fail", str(error), "--library", self.library]
        return self.run(scenario, role, point)

    def scenario(self, name, role, errors, tap):
        said = self.fail(name, role, 0, errors[0])
        usual, usual_stderr = self.ends, self.stderr
        failed, point, counted = [], self.options.point or 1, re.fullmatch(r"ended after (\d+) points", said)
        while counted and not usual_stderr:
            error = self.options.error or errors[point % len(errors)]
            said = self.fail(name, role, point, error)
            if said.startswith("ended"):
                break
            wrong = self.wrong(said, usual)
            if wrong:
                failed += [f"--only {name} --role {role} --error {error} --point {point}: {said}", *("    " + line for line in wrong)]
            if self.options.point:
                break
            point += 1
        which = "/".join(errno.errorcode[error] for error in errors)
        tap.say(bool(counted) and not usual_stderr and not failed, f"{name}, {role}: each of {point - 1} own system calls fails, {which}",
                failed[:40] or usual_stderr)

    def wrong(self, said, usual):
        call = re.search(r"system call (\d+)$", said)
        if not call:
            return [said]
        self.noticed += self.ends != usual
        if len(self.stderr) > 1 or any(not REFUSAL.match(line) for line in self.stderr):
            return self.stderr
        if self.ends != usual and int(call[1]) not in GENUINE or any(status & 0x7f and status not in usual for status in self.ends):
            return [f"processes ended with {dict(self.ends)}, usually {dict(usual)}"]
        return []


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--programs")
    parser.add_argument("--library")
    parser.add_argument("--only", default="")
    parser.add_argument("--role")
    parser.add_argument("--point", type=int, default=0)
    parser.add_argument("--error", type=int)
    options = parser.parse_args()
    options.functions, options.keep = False, None
    tap = Tap()
    own_memory()
    with tempfile.TemporaryDirectory(prefix="taskwatch-faults.") as _:
        faults = Faults(options)
        names = sweep.scenarios(options)
        for error in ERRORS if options.role in (None, "all") else ():
            faults.scenario(names[0], "all", [error], tap)
        for name in names if options.role in (None, "both") else ():
            faults.scenario(name, "both", ERRORS, tap)
        if not options.only:
            # A genuine call that fails does change how a process ends, or this would see nothing.
            tap.say(faults.noticed > 0, f"{faults.noticed} failures of genuine calls were noticed")
    print(f"# {faults.runs} runs")
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
