#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs one program of tests/calls under preload: run.py PROGRAM SOURCE LIBRARY RECORDERS [ARGUMENT...]

PROGRAM checks what it can see itself (tests/lib/check.h). What is to be set up for it, and what must hold
when it is gone, is said in its first comment, "key: value" a line:

  recorder: second: third:   options of these watchers beside file=
  watchers:     those that are loaded, "{build}" is this test's folder: recorder
  environment:  NAME=value, once a line
  status:       exit status, or a signal's name: 0
  stdout: stderr:   one line of it each: nothing. "stdout: any" is not looked at
  compare: bare     stdout, stderr and status are those of the same program without the library
  main:         the first watcher's events of the program's own task: "exec exit free", less EXEC's +adopted
  owed:         tasks of which nobody is left to tell the end: 0
  watched: part     the recorder is not told of whole lives
  watched: cut      threads are killed inside the recorder: the program looks at the records itself
  needs:        root; others: what is executed must be readable by every user

A program that ends with 77 is skipped, for the reason on its stdout.

Besides: INIT and FREE pair, cells count up over each life, signals are blocked and cancellation is off in
callbacks, and no memory of the session is left (records.py).
"""
import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import records  # noqa: E402

RECORDERS = ("recorder", "second", "third")
SKIPPED = 77
TIME_LIMIT = 40


def directives(source):
    said = {}
    comment = re.search(r"/\*\n(.*?)\*/", open(source, encoding="utf-8").read(), re.S)
    for key, value in re.findall(r"^ \* (\w+):(?: (.*))?$", comment.group(1), re.M):
        said.setdefault(key, []).append(value)
    known = "recorder second third watchers environment status stdout stderr compare main owed watched needs"
    unknown = set(said) - set(known.split())
    assert not unknown, f"unknown: {unknown}"
    return said


class Case:
    def __init__(self, program, source, library, recorders, arguments):
        self.program, self.library, self.recorders, self.arguments = program, library, recorders, arguments
        self.said = directives(source)
        self.skipped = ""  # why
        self.folder = tempfile.mkdtemp(prefix="taskwatch-calls.")
        # For programs that become somebody else.
        os.chmod(self.folder, 0o777)
        for name in RECORDERS:
            records.create(self.path(name))
            os.chmod(self.path(name), 0o666)
        if "others" in self.one("needs", "") and not open_to_others(self.library):
            self.move_into_the_open()

    def move_into_the_open(self):
        """Copies what is executed and loaded into this test's folder."""
        place = self.path("open")
        os.mkdir(place)
        for file in (self.program, self.library, os.path.join(os.path.dirname(self.program), "target")):
            shutil.copy(file, place)
        for name in RECORDERS:
            shutil.copy(os.path.join(self.recorders, name + ".so"), place)
        self.program, self.library = (os.path.join(place, os.path.basename(path)) for path in (self.program, self.library))
        self.recorders = place

    def path(self, name):
        return os.path.join(self.folder, name)

    def one(self, key, default=None):
        return self.said.get(key, [default])[0]

    def environment(self, watched):
        result = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TEST_FOLDER": self.folder, "TEST_PROGRAM": self.program,
                  "TEST_BUILD": os.path.dirname(self.program), "TEST_LIBRARY": self.library}
        if "QUICK" in os.environ:
            result["QUICK"] = os.environ["QUICK"]
        if watched:
            names = self.one("watchers", "recorder").split()
            result |= {"LD_PRELOAD": self.library, "TASKWATCH_PATH": self.recorders,
                       "TASKWATCH_WATCHERS": ":".join(names).replace("{build}", result["TEST_BUILD"])}
            for name in filter(RECORDERS.__contains__, names):
                options = self.one(name)
                result["TASKWATCH_" + name.upper()] = f"file={self.path(name)}" + ("," + options if options else "")
        for pair in self.said.get("environment", []):
            name, _, value = pair.partition("=")
            result[name] = value.replace("{library}", self.library).replace("{build}", result["TEST_BUILD"])
        return result

    def run(self, watched):
        """Status as the shell's, stdout, stderr, pid."""
        work = self.path("watched" if watched else "bare")
        os.mkdir(work)
        process = subprocess.Popen([self.program, *self.arguments], env=self.environment(watched),
                                   cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            # Until nobody has stdout and stderr open any more: descendants are waited for.
            out, err = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"timed out after {TIME_LIMIT} s\n"
        finally:
            # This runner is being ended, and its program is in a session of its own.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, out, err, process.pid

    def expected_status(self):
        word = self.one("status", "0")
        return -signal.Signals[word].value if word.startswith("SIG") else int(word)

    def expected_text(self, key):
        return "".join((line or "") + "\n" for line in self.said.get(key, []))

    def check(self):
        wrong = []

        def equal(what, seen, expected):
            if seen == expected:
                return
            if isinstance(seen, str):
                lines = difflib.unified_diff(expected.splitlines(), seen.splitlines(), "expected", "seen", "", "", 1)
                wrong.append("\n".join([what, *lines]))
            else:
                wrong.append(f"{what}: {seen}, expected: {expected}")

        bare = self.run(False) if self.one("compare") == "bare" else None
        others = segments()  # of processes that had our pid before us, among them
        status, out, err, pid = self.run(True)
        if status == SKIPPED:
            self.skipped = out.strip()
            return wrong
        if bare:
            equal("status", status, bare[0])
            equal("stdout", out, bare[1])
            equal("stderr", err, bare[2])
            equal("status, bare", bare[0], self.expected_status())
        else:
            equal("status", status, self.expected_status())
            if self.one("stdout") != "any":
                equal("stdout", out, self.expected_text("stdout"))
            equal("stderr", err, self.expected_text("stderr"))
        for name in self.one("watchers", "recorder").split():
            seen = records.read(self.path(name)) if name in RECORDERS else []
            if self.one("watched") == "cut":
                seen, faults = [r for r in seen if r.complete], []
            else:
                faults = records.faults(seen, int(self.one("owed", "0")), self.one("watched") != "part")
            main = next((r.id for r in seen if r.pid == pid), None)
            told = records.sequence(r for r in seen if r.id == main).replace("exec+adopted", "exec", 1)
            first = name == self.one("watchers", "recorder").split()[0]
            if first and "main" in self.said and told != (self.one("main") or ""):
                faults.append(f"the program's own task: {told}, expected: {self.one('main')}")
            if faults:
                wrong += [f"{name}: {fault}" for fault in faults] + [records.describe(seen)]
        left = [segment for segment in segments(pid) if segment not in others]
        if int(self.one("owed", "0")) == 0 and left:
            wrong.append(f"memory of the session is left: {left}")
        for segment in left:
            subprocess.run(["ipcrm", "-m", segment], check=False)
        return wrong


def open_to_others(path):
    folders = [path]
    while folders[-1] != "/":
        folders.append(os.path.dirname(folders[-1]))
    return all(os.stat(folder).st_mode & 0o001 for folder in folders)


def segments(maker=None):
    """Ids of the System V segments that this process made, or of all."""
    with open("/proc/sysvipc/shm", encoding="ascii") as stream:
        rows = [line.split() for line in stream.readlines()[1:]]
    return [row[1] for row in rows if maker is None or row[4] == str(maker)]


def skip(why):
    print("skipped:", why)
    return 1 if os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1" else SKIPPED


def main():
    # The runner may ignore signals that a program is expected to have at their default.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    case = Case(*map(os.path.realpath, sys.argv[1:5]), sys.argv[5:])
    try:
        if "root" in case.one("needs", "") and os.geteuid() != 0:
            return skip("it changes ids, so it needs root")
        wrong = case.check()
        if case.skipped:
            return skip(case.skipped)
        print("\n".join(wrong) or "ok")
        return 1 if wrong else 0
    finally:
        shutil.rmtree(case.folder)


if __name__ == "__main__":
    sys.exit(main())
