#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""stress-ng(1) under the library: stress_ng.py --build FOLDER. For each of its ways to make tasks: the exit status and what it
prints are those that it has without us, and of what trace was told the invariant holds. TAP on stdout.

As another user than root, who is refused some of it (--exec)."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import invariant  # noqa: E402
from stress import Tap  # noqa: E402

# Operations, and how many tasks they make at least.
WAYS = {"fork": (2000, 2000), "vfork": (2000, 2000), "clone": (40, 40), "exec": (20, 20), "pthread": (2000, 2000),
        "kill": (2000, 1)}
NOBODY = 65534


def run(folder, way, operations, environment):
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(["stress-ng", "--quiet", "--no-rand-seed", "--temp-path", folder, f"--{way}", "1", f"--{way}-ops", str(operations)],
                          cwd=folder, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"} | environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False, text=True, **user)
    return done.returncode, done.stdout


def judge(way, library, tap):
    operations, least = WAYS[way]
    with tempfile.TemporaryDirectory(prefix="taskwatch-stress-ng.") as folder:
        os.chmod(folder, 0o777)
        own = shutil.copy(library, folder)  # who is nobody may not be able to read a build folder
        path = os.path.join(folder, "trace.jsonl")
        bare = run(folder, way, operations, {})
        under = run(folder, way, operations, {"LD_PRELOAD": own, "TASKWATCH_WATCHERS": "trace",
                                              "TASKWATCH_TRACE": f"format=json,threads=1,output={path}"})
        tasks, torn = invariant.read_trace(path)
        judge = invariant.Judge({"trace": tasks})
        violations = judge.judge()
    if under != bare:
        violations.append(f"status and output {under}, without us {bare}")
    if len(tasks) < least:
        violations.append(f"{len(tasks)} tasks were told of, at least {least} are made")
    tap.say(not violations, f"stress-ng --{way}: {len(tasks)} tasks, {judge.figures['trace told']} records, {torn} torn", violations[:12])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--only", choices=WAYS)
    options = parser.parse_args()
    library = os.path.join(os.path.realpath(options.build), "shim", "libtaskwatch.so")
    tap = Tap()
    if shutil.which("stress-ng"):
        for way in [options.only] if options.only else WAYS:
            judge(way, library, tap)
    else:
        tap.say(True, "stress-ng", skip="it is not installed")
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
