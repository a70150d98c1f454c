#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The oracle's runner, TAP on stdout.

  run.py --build FOLDER [--seed N] [--only WORD]     every workload under the library: a perfect score
  run.py --build FOLDER --twins DIRECTORY            the library without one family of wrappers each: less than 1

FOLDER is the build folder. The comparison itself is tested by test_comparison.py. A run in which an event of the kernel's was lost is repeated, three times at most. With
--keep DIRECTORY the recordings and traces stay there."""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import compare  # noqa: E402
import kernel  # noqa: E402
import trace as our_trace  # noqa: E402
import workloads  # noqa: E402

LOST, NOT_PERMITTED = 3, 4
KINDS = ("fork", "exec", "uid", "gid", "exit")


class Void(Exception):
    pass


def wrapped_functions():
    with open(os.path.join(HERE, "..", "..", "shim", "functions.def"), encoding="ascii") as stream:
        return set(re.findall(r"^(?:FUNCTION|ALIAS|VARIADIC)\((\w+)", stream.read(), re.M))


class Runner:
    def __init__(self, options):
        self.build = os.path.realpath(options.build)
        self.oracle = os.path.join(self.build, "tests", "oracle", "oracle")
        self.keep = options.keep
        self.count = 0
        self.failed = False

    # --- TAP

    def say(self, good, name, notes=(), skip=""):
        self.count += 1
        if skip and os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1":
            good, notes, skip = False, [*notes, skip], ""
        self.failed |= not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}{' # SKIP ' + skip if skip else ''}")
        for note in notes:
            print(f"# {note}")
        sys.stdout.flush()

    def plan(self):
        print(f"1..{self.count}")
        return 1 if self.failed else 0

    # --- one run

    def listen(self, *arguments):
        return subprocess.run([self.oracle, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)

    def cannot(self):
        """Why there can be no witness here, or nothing."""
        if os.geteuid() != 0:
            return "needs root (CAP_NET_ADMIN to listen, and ids to change)"
        with tempfile.TemporaryDirectory() as folder:
            done = self.listen(os.path.join(folder, "record"), "true")
        return done.stdout.strip() or "no witness" if done.returncode == NOT_PERMITTED else ""

    def compare(self, workload, library):
        for attempt in range(3):
            folder = tempfile.mkdtemp(prefix="taskwatch-oracle.")
            try:
                return self.compare_in(folder, workload, library)
            except Void as reason:
                print(f"# {workload.name}: void, run {attempt + 1}: {reason}")
            finally:
                if self.keep:
                    name = re.sub(r"\W+", "-", f"{workload.name}-{os.path.basename(library)}-{attempt}")
                    shutil.copytree(folder, os.path.join(self.keep, name), symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(folder, ignore_errors=True)
        raise Void("an event was lost in each of three runs")

    def compare_in(self, folder, workload, library):
        work, record, lines = (os.path.join(folder, name) for name in ("work", "record", "trace"))
        os.chmod(folder, 0o755)
        os.mkdir(work)
        open(lines, "w", encoding="ascii").close()
        os.chmod(lines, 0o666)  # some of the tree become others
        if workload.prepare:
            workload.prepare(work, os.path.join(self.build, "tests", "oracle"))
        settings = {"LD_PRELOAD": library, "TASKWATCH_PATH": os.path.join(self.build, "watchers"),
                    "TASKWATCH_WATCHERS": "trace",
                    "TASKWATCH_TRACE": f"format=json,threads=1,output={lines}", **workload.environment}
        settings = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        done = self.listen("--limit", "60", *settings, record, "env", "-C", work, *workload.command)
        if done.returncode == LOST:
            raise Void(done.stdout.strip())
        if done.returncode != 0:
            raise RuntimeError(f"oracle ended with {done.returncode}: {done.stdout.strip()}")
        with open(record, encoding="ascii") as stream:
            recording = kernel.Recording(stream)
        with open(lines, encoding="utf-8", errors="surrogateescape") as stream:
            trace = our_trace.Trace(stream)
        comparison = compare.Comparison(recording, trace, wrapped_functions(), workload.adopted, workload.unknown,
                                         workload.alone)
        result = comparison.run()
        result.faults = self.faults(workload, result, recording, trace)
        return result

    @staticmethod
    def faults(workload, result, recording, trace):
        """What would make a perfect score say nothing."""
        found = [f"{result.kinds[kind]} events of {kind}, at least {least} expected"
                 for kind, least in workload.floor.items() if result.kinds[kind] < least]
        calls = {record.get("call") for task in trace.tasks.values() for record in task.records}
        found += [f"no event by {call}()" for call in workload.calls if call not in calls]
        if workload.status is not None and recording.status != workload.status << 8:
            found.append(f"the workload ended with {recording.status:#x}")
        return found

    # --- the two suites

    def run_workloads(self, chosen, library):
        print(f"# {'workload':24}{'kernel':>8}{'ours':>8}" + "".join(f"{kind:>6}" for kind in KINDS) +
              f"{'accounted':>11}{'unexpl.':>9}{'recall':>8}{'precision':>11}")
        for workload in chosen:
            missing = [name for name in workload.needs if name not in wrapped_functions()]
            if missing:
                print(f"# {workload.name}: left out until {', '.join(missing)} is wrapped")
                continue
            try:
                result = self.compare(workload, library)
            except (Void, RuntimeError) as reason:
                self.say(False, workload.name, [str(reason)])
                continue
            print(f"# {workload.name:24}{result.kernel:8}{result.ours:8}" +
                  "".join(f"{result.kinds[kind]:6}" for kind in KINDS) +
                  f"{result.kernel_accounted + result.ours_accounted:11}{len(result.unexplained):9}"
                  f"{result.recall:8.3f}{result.precision:11.3f}")
            notes = [f"  {count} {name}" for name, count in sorted(result.accounted.items())]
            wrong = result.unexplained + result.faults
            notes += [f"  {line}" for line in wrong[:40]]
            if len(wrong) > 40:
                notes.append(f"  and {len(wrong) - 40} more")
            self.say(not wrong, workload.name, notes)

    def run_twins(self, folder, library, seed):
        for family in ("", "fork", "vfork", "system", "syscall"):
            workload = workloads.for_twin(family, seed)
            try:
                result = self.compare(workload, library)
                self.say(result.perfect, f"with all wrappers the score is 1: {workload.name}", result.unexplained[:9])
            except (Void, RuntimeError) as reason:
                self.say(False, workload.name, [str(reason)])
        for library in sorted(os.listdir(folder)):
            family = re.fullmatch(r"libwithout_(\w+)\.so", library)
            if not family:
                continue
            name = f"without its {family[1]} wrappers the score is below 1"
            try:
                result = self.compare(workloads.for_twin(family[1], seed), os.path.join(folder, library))
            except (Void, RuntimeError) as reason:
                self.say(False, name, [str(reason)])
                continue
            # The workload itself must have run.
            low = min(result.recall, result.precision)
            self.say(low < 1 and result.kernel >= 40, f"{name} ({low:.3f})",
                     [f"  {line}" for line in result.unexplained[:1]])

    def run_loss(self):
        with tempfile.TemporaryDirectory() as folder:
            done = self.listen("--buffer", "1", "--deaf", os.path.join(folder, "record"), "sh", "-c",
                               "for n in 1 2 3 4 5 6 7 8 9; do /bin/true; done")
        self.say(done.returncode == LOST, "a lost event voids the run", [done.stdout.strip()])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build")
    parser.add_argument("--library")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--twins")
    parser.add_argument("--keep")
    options = parser.parse_args()
    runner = Runner(options)
    library = options.library or os.path.join(runner.build, "shim", "libtaskwatch.so")
    # The seed is in the workload's name: a failure can be repeated with --seed.
    chosen = workloads.all_workloads(options.seed or random.randrange(1, 1000000))
    reason = runner.cannot()
    if reason:
        runner.say(True, "the kernel as witness", skip=reason)
    elif options.twins:
        runner.run_twins(options.twins, library, options.seed or 1)
    else:
        runner.run_workloads([one for one in chosen if options.only in one.name], library)
        runner.run_loss()
    return runner.plan()


if __name__ == "__main__":
    sys.exit(main())
