#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is told of foreign programs makes sense: recorded.py SOURCE-ROOT LIBRARY WATCHERS RECORDERS [NAME...]

One script a workload, beside this file. Each runs twice without the library, to know what of it is not reproducible, then under the watcher
`busy`, which is slow on purpose, then under three recorders at once: stdout, stderr and exit status have to be
the same. Of what the recorders have seen each INIT has its FREE, each cell counts over a whole life, and so on
(tests/lib/records.py). TAP on stdout.
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
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
import records  # noqa: E402

# name: interpreter and script, and the programs without which it cannot run
WORKLOADS = {
    "bash": (["bash", "bash.sh"], ["timeout", "nohup", "setsid"]),
    "dash": (["dash", "dash.sh"], ["find", "seq"]),
    "make -j2": (["sh", "make.sh"], ["make", "gcc"]),
    "gcc": (["sh", "gcc.sh"], ["gcc"]),
    "python3": (["python3", "processes.py"], []),
    "perl": (["perl", "processes.pl"], []),
    "git": (["sh", "git.sh"], ["git", "tar"]),
    "find -exec": (["sh", "find.sh"], ["find"]),
    "xargs -P2": (["sh", "xargs.sh"], ["xargs"]),
    "ids": (["sh", "ids.sh"], ["setpriv", "chroot"]),
    "gdb": (["sh", "gdb.sh"], ["gdb", "gcc"]),
}
NEED_ROOT = {"ids"}
SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
TIME_LIMIT = 100
STREAMS = ("exit status", "stdout", "stderr")


class Runner:
    def __init__(self, library, watchers, recorders):
        self.library, self.watchers, self.recorders = library, watchers, recorders
        self.folder = tempfile.mkdtemp(prefix="taskwatch-foreign.")
        os.chmod(self.folder, 0o755)

    def recording(self, name):
        return os.path.join(self.folder, name + ".records")

    def environment(self, names):
        result = {"PATH": SEARCH_PATH, "LC_ALL": "C", "HOME": "/"}
        if not names:
            return result
        result |= {"LD_PRELOAD": self.library, "TASKWATCH_PATH": f"{self.watchers}:{self.recorders}",
                   "TASKWATCH_WATCHERS": ":".join(names)}
        for name in names:
            if name != "busy":
                records.create(self.recording(name))
                os.chmod(self.recording(name), 0o666)
                result["TASKWATCH_" + name.upper()] = f"file={self.recording(name)}"
        return result

    def run(self, command, names=()):
        # The same path each time: it appears in what the programs print.
        work = os.path.join(self.folder, "work")
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work)
        process = subprocess.Popen(command, cwd=work, env=self.environment(names), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return None
        finally:
            # This runner is being ended, and the workload is in a session of its own.
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        # The pids in a shell's "line 3: 4711 Killed" differ each time.
        return process.returncode, out.decode(errors="replace"), re.sub(r"\b\d{3,}\b", "N", err.decode(errors="replace"))

    def check(self, command):
        """Notes, and what went wrong."""
        first, second = self.run(command), self.run(command)
        if first is None or second is None:
            return [], ["it does not end, even without the library"]
        same = [a == b for a, b in zip(first, second)]
        notes = [f"{what} is not reproducible and was not compared" for what, ok in zip(STREAMS, same) if not ok]
        if not same[1]:
            notes += difference(first[1], second[1])
        wrong = [] if same[0] and (same[1] or same[2]) else ["nothing of it is reproducible"]
        for names in (["busy"], ["recorder", "second", "third"]):
            seen = self.run(command, names)
            if seen is None:
                wrong.append(f"under {names}: it does not end")
                continue
            for what, ok, before, after in zip(STREAMS, same, first, seen):
                if ok and before != after:
                    wrong.append(f"under {names}: {what}")
                    wrong += difference(before, after) if what != "exit status" else [f"{after}, bare {before}"]
        return notes, wrong + self.faults()

    def faults(self):
        """A workload may be more than one session: a program that makes its first child by a function of
        libc's that is not wrapped has not yet told its descendants where the session is."""
        found = []
        for name in ("recorder", "second", "third"):
            seen = records.read(self.recording(name))
            if not seen:
                found.append(f"{name} has seen nothing")
            for session in {r.session for r in seen}:
                mine = [r for r in seen if r.session == session]
                faults = records.faults(mine)
                if faults:
                    found += [f"{name}: {fault}" for fault in faults]
        return found

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def difference(before, after):
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), "bare", "watched", "", "", 1))[:60]


def why_not(name, tools):
    missing = [tool for tool in tools if not shutil.which(tool, path=SEARCH_PATH)]
    if missing:
        return f"not installed: {' '.join(missing)}"
    if name in NEED_ROOT and os.geteuid() != 0:
        return "needs root"
    return ""


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    source, library, watchers, recorders = map(os.path.realpath, sys.argv[1:5])
    chosen = sys.argv[5:] or list(WORKLOADS)
    must_run = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    for number, name in enumerate(chosen, 1):
        command, tools = WORKLOADS[name]
        reason = why_not(name, [command[0], *tools])
        if reason:
            failed += must_run
            print(f"{'not ok' if must_run else 'ok'} {number} - {name}{'' if must_run else ' # SKIP ' + reason}")
            print(f"# {reason}", flush=True)
            continue
        runner = Runner(library, watchers, recorders)
        try:
            script = os.path.join(source, "tests", "foreign", command[1])
            notes, wrong = runner.check([shutil.which(command[0], path=SEARCH_PATH), script])
        finally:
            runner.close()
        for line in notes + wrong:
            print("# " + line)
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {name} behaves the same and is told of completely", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
