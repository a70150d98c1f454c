#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tasks made and ended in every way while a killer ends others, and what two watchers were told of it.

  stress.py --build FOLDER [--seed N]... [--lives N] [--kill MICROSECONDS] [--styles LETTERS] [--library PATH]
            [--scribble MICROSECONDS] [--supervise beside|kill|stop] [--keep DIRECTORY]
  stress.py --build FOLDER --matrix LIVES         seeds until so many tasks have lived, over all styles and killers

What must hold is in invariant.py. A seed gives the same program again; what the killer meets is the scheduler's. With
--keep the files of a run that failed stay there. A run in which the kernel's witness has lost an event is repeated.
TAP on stdout."""
import argparse
import collections
import ctypes
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import invariant  # noqa: E402

LOST, NOT_PERMITTED, TIMED_OUT = 3, 4, 5
CALLBACKS_OF_A_LIFE = 8
# Styles (stress.c) and killers: mean pause between two signals, 0: none; one callback in `linger` lingers.
MATRIX = [("stxvhk", 1500, 16), ("stxvhk", 400, 8), ("tvk", 1000, 8), ("sxhk", 1000, 16), ("stxvhk", 0, 0), ("tk", 300, 4),
          ("xk", 1500, 8), ("vsk", 500, 4)]


class Void(Exception):
    pass


def own_memory():
    """From now on the System V segments that are seen here are made by what is started here: two runs whose pids wrap would
    take each other's away. Needs root; without it they are told apart by their makers' pids alone."""
    ctypes.CDLL(None).unshare(0x08000000)  # CLONE_NEWIPC


def segments():
    with open("/proc/sysvipc/shm", encoding="ascii") as stream:
        return {row.split()[1]: int(row.split()[4]) for row in stream.readlines()[1:]}


class Run:
    def __init__(self, options, seed, styles, kill_us, linger):
        self.options, self.seed, self.styles, self.kill_us, self.linger = options, seed, styles, kill_us, linger
        self.build = os.path.realpath(options.build)
        self.own = options.programs or os.path.join(self.build, "tests", "stress")
        self.folder = tempfile.mkdtemp(prefix="taskwatch-stress.")
        self.supervisor = 0
        self.figures = collections.Counter()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make_journal(self):
        capacity = self.options.lives * CALLBACKS_OF_A_LIFE + 20000
        with open(self.path("journal"), "wb") as stream:
            stream.write(struct.pack("<I", capacity))
            stream.truncate(invariant.PAGE + capacity * invariant.ENTRY.size)
        open(self.path("trace"), "w", encoding="ascii").close()

    def say_over(self):
        with open(self.path("journal"), "r+b") as stream:
            stream.seek(16)
            stream.write(struct.pack("<I", 1))

    def progress(self):
        """The first process's pid, how many tasks were made, whether all is over: as in journal.h."""
        with open(self.path("journal"), "rb") as stream:
            stream.seek(8)
            return struct.unpack("<i2I", stream.read(12))

    def root(self):
        return self.progress()[0]

    def disturb_supervisor(self, ended):
        """In the middle of the run; a stopped one goes on when the program is at its end."""
        def reached(condition):
            while not condition(*self.progress()):
                if ended.wait(0.01):
                    return False
            return True

        if not reached(lambda root, born, over: root and born >= self.options.lives // 2):
            return
        with open(f"/proc/{self.root()}/stat", encoding="ascii", errors="replace") as stat:
            self.supervisor = int(stat.read().rpartition(")")[2].split()[1])
        os.kill(self.supervisor, signal.SIGKILL if self.options.supervise == "kill" else signal.SIGSTOP)
        if self.options.supervise == "stop" and reached(lambda root, born, over: over):
            os.kill(self.supervisor, signal.SIGCONT)

    def settings(self):
        library = self.options.library or os.path.join(self.build, "shim", "libtaskwatch.so")
        return {"LD_PRELOAD": library, "TASKWATCH_PATH": os.path.join(self.build, "watchers") + ":" + self.own,
                "TASKWATCH_WATCHERS": "trace:journal",
                "TASKWATCH_TRACE": f"format=json,threads=1,output={self.path('trace')}",
                "TASKWATCH_JOURNAL": f"file={self.path('journal')},linger={self.linger},trust={self.options.trust:d}"}

    def once(self):
        """The violations, as sentences."""
        self.make_journal()
        killer = subprocess.Popen([os.path.join(self.own, "killer"), self.path("journal"), self.path("kills"),
                                   str(self.seed), str(self.kill_us or 500000)])
        scribbler = None
        if self.options.scribble is not None:
            scribbler = subprocess.Popen([os.path.join(self.own, "scribbler"), self.path("journal"), str(self.seed),
                                          str(self.options.scribble)])
        oracle = os.path.join(self.build, "tests", "oracle", "oracle")
        command = [oracle, "--times", "--limit", str(self.options.limit)]
        settings = [f"{name}={value}" for name, value in self.settings().items()]
        if not self.options.supervise:
            command += [word for pair in settings for word in ("--set", pair)]
        command.append(self.path("kernel"))
        if self.options.supervise:
            supervisor = os.path.join(self.build, "tools", "taskwatch-supervise")
            command += [supervisor, "--library=" + self.settings()["LD_PRELOAD"], *settings, "--"]
        command += [os.path.join(self.own, "stress"), self.path("journal"), str(self.seed), str(self.options.lives), self.styles]
        with open(self.path("stderr"), "w", encoding="utf-8") as stderr:
            witness = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)
            ended = threading.Event()
            disturber = threading.Thread(target=self.disturb_supervisor, args=[ended])
            if self.options.supervise in ("kill", "stop"):
                disturber.start()
            try:
                said = self.await_end(witness)
            finally:
                ended.set()
                self.say_over()
                killer.wait()
                wrote = scribbler.wait() == 0 if scribbler else True
        if witness.returncode == LOST:
            raise Void(said)
        violations = [] if witness.returncode == 0 else [f"the stress program: {said}"]
        if self.options.supervise in ("kill", "stop"):
            disturber.join()
            violations += [] if self.supervisor else ["the supervisor was left alone"]
        with open(self.path("stderr"), encoding="utf-8") as stream:
            violations += [f"stderr: {line.rstrip()}" for line in stream][:5]
        left = self.left_segments()
        if scribbler:
            return violations + ([] if wrote else ["the scribbler found no memory of the session"]) + self.judge_ends()
        return violations + left + self.judge()

    def await_end(self, witness):
        """A process that waits for ever is a finding: where it waits is told."""
        try:
            return witness.communicate(timeout=self.options.limit * 0.8)[0].strip()
        except subprocess.TimeoutExpired:
            with open(self.path("stacks"), "w", encoding="utf-8") as stream:
                for pid, tid in self.threads():
                    # A process whose leader has left can be looked at by its other threads only.
                    with open(f"/proc/{tid}/stat", encoding="ascii", errors="replace") as stat:
                        print(f"thread {tid} of {pid}:", stat.read().rpartition(")")[2][:3], file=stream, flush=True)
                    subprocess.run(["gdb", "-p", str(tid), "-batch", "-ex", "bt 20"], stdout=stream,
                                   stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=30, check=False)
            print(f"# it hangs; stacks are in {self.path('stacks')}", flush=True)
            return witness.communicate()[0].strip()

    def threads(self):
        root, found = self.root(), []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.getsid(int(entry)) == root:
                    found += [(int(entry), int(tid)) for tid in os.listdir(f"/proc/{entry}/task")]
            except OSError:
                pass
        return found[:50]

    def left_segments(self):
        """Memory that a process of this session has made and nobody has removed."""
        made = self.made_by()
        left = [id_ for id_, maker in segments().items() if id_ not in self.before and maker in made]
        for id_ in left:
            subprocess.run(["ipcrm", "-m", id_], check=False)
        return [f"memory of the session is left: {left}"] if left else []

    def made_by(self):
        with open(self.path("kernel"), encoding="ascii") as stream:
            return {int(line.split()[2]) for line in stream if line.startswith("fork ")}

    def judge(self):
        trace, torn = invariant.read_trace(self.path("trace"))
        journal, waited, holes = invariant.read_journal(self.path("journal"))
        kernel = invariant.Kernel(self.path("kernel"))
        if self.options.supervise:
            kernel.leave_out_supervisor(self.root())
        judge = invariant.Judge({"trace": trace, "journal": journal}, kernel, invariant.Kills(self.path("kills")), waited)
        violations = judge.judge()
        judge.figures["lines torn"], judge.figures["entries torn"] = torn, holes
        self.figures = judge.figures
        return violations

    def judge_ends(self):
        """What was written to the session's memory may cost what is told, but no process its end."""
        kernel = invariant.Kernel(self.path("kernel"))
        self.figures = collections.Counter(lives=kernel.count)
        return [f"kernel: {life} ended with {status:#x}" for lives in kernel.lives.values() for life in lives
                for _, status in life.exits if status & 0x7f]

    def run(self):
        for _ in range(3):
            self.before = segments()
            try:
                return self.once()
            except Void as reason:
                print(f"# seed {self.seed}: void: {reason}", flush=True)
        return ["the kernel's witness lost an event in each of three runs"]

    def clean(self, failed):
        if failed and self.options.keep:
            shutil.copytree(self.folder, os.path.join(self.options.keep, f"seed-{self.seed}"), dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Tap:
    def __init__(self):
        self.count, self.failed = 0, False

    def say(self, good, name, notes=(), skip=""):
        self.count += 1
        if skip and os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1":
            good, notes, skip = False, [skip], ""
        self.failed |= not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}{' # SKIP ' + skip if skip else ''}")
        for note in notes:
            print("#", note)
        sys.stdout.flush()


def cannot(options):
    if os.geteuid() != 0:
        return "needs root (CAP_NET_ADMIN to listen to the kernel's process events)"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([os.path.join(options.build, "tests", "oracle", "oracle"), os.path.join(folder, "r"), "true"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or "no witness" if done.returncode == NOT_PERMITTED else ""


def runs(options):
    """(seed, styles, kill, linger), endless for a matrix."""
    if options.matrix:
        seed = options.seed[0] if options.seed else 1
        while True:
            for styles, kill_us, linger in MATRIX:
                yield seed, styles, kill_us, linger
                seed += 1
    for seed in options.seed or [random.randrange(1, 10**6)]:
        yield seed, options.styles, options.kill, options.linger


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--programs", help="folder of stress, killer, journal.so")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--lives", type=int, default=20000)
    parser.add_argument("--kill", type=int, default=1500)
    parser.add_argument("--linger", type=int, default=16)
    parser.add_argument("--styles", default="stxvhk")
    parser.add_argument("--scribble", type=int, metavar="MICROSECONDS",
                        help="write into the session's memory; 0: remove it. Without a killer, and no style k")
    parser.add_argument("--supervise", choices=["beside", "kill", "stop"],
                        help="under the launcher's supervisor; that one is killed or stopped in the middle of it")
    parser.add_argument("--trust", action="store_true", help="a twin: the journal believes what it reads in the session's memory")
    parser.add_argument("--limit", type=int, default=120)
    parser.add_argument("--library")
    parser.add_argument("--keep")
    parser.add_argument("--matrix", type=int, metavar="LIVES")
    parser.add_argument("--must-fail", action="store_true", help="a twin: passes if the invariant is violated")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    tap, total = Tap(), collections.Counter()
    own_memory()
    reason = cannot(options)
    if reason:
        tap.say(True, "tasks under fire", skip=reason)
    else:
        for seed, styles, kill_us, linger in runs(options):
            run = Run(options, seed, styles, kill_us, linger)
            begun = time.monotonic()
            violations = run.run()
            total += run.figures
            name = f"seed {seed}, styles {styles}, kill {kill_us}, linger {linger}: {run.figures['lives']} lives"
            notes = [f"{time.monotonic() - begun:.1f} s; " + ", ".join(f"{n} {w}" for w, n in sorted(run.figures.items()))]
            notes += violations[:12] + ([f"and {len(violations) - 12} more"] if len(violations) > 12 else [])
            if options.must_fail:
                tap.say(bool(violations), "what breaks the promise is found out: " + name, notes[:3])
            else:
                tap.say(not violations, name, notes)
            run.clean(bool(violations))
            if options.matrix and total["lives"] >= options.matrix:
                break
        print("# all: " + ", ".join(f"{n} {w}" for w, n in sorted(total.items())))
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
