#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The library's USDT probes under perf, which has the kernel stop at them (uprobes).

    perf_probes.py PROGRAM LIBRARY

Prints TAP. Wants perf, root and a kernel with uprobes; what is not there is said, and TASKWATCH_TESTS_MUST_RUN=1 makes that a failure.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM, LIBRARY = (os.path.abspath(a) for a in sys.argv[1:3])
NAME = "perf sees each walk, with its event, process and result"
EXEC_ADOPTED, CLONE, EXIT, FREE = 0x40003, 2, 0xFFFE, 0xFFFF

# perf keeps the notes of a file it was shown under $HOME, and the probes in the kernel's list, which all of the machine see: taken
# out again. The list is in tracefs, mounted here for us alone.
SCRIPT = """
mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing || exit 77
[ -w /sys/kernel/tracing/uprobe_events ] || exit 77
perf buildid-cache --add "$1" || exit 1
perf probe -q -x "$1" sdt_taskwatch:walk_end || exit 1
LD_PRELOAD= perf record -q -e sdt_taskwatch:walk_end -o data env LD_PRELOAD="$1" TASKWATCH_WATCHERS=trace \\
    TASKWATCH_TRACE=format=json,output="$PWD/trace.jsonl" "$2" fork
status=$?
perf script -i data
perf probe -q -d 'sdt_taskwatch:walk_end'
exit $status
"""


def not_here():
    for command in ("perf", "unshare"):
        if not shutil.which(command):
            return f"no {command}"
    if os.geteuid() != 0:
        return "uprobes want root"
    return None if os.path.exists("/sys/bus/event_source/devices/uprobe") else "a kernel without uprobes"


def skip(reason):
    must = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    print(f"{'not ' if must else ''}ok 1 - {NAME} # SKIP {reason}")
    return 1 if must else 0


def main():
    print("1..1")
    reason = not_here()
    if reason:
        return skip(reason)
    with tempfile.TemporaryDirectory(prefix="taskwatch-perf.") as folder:
        library = shutil.copy(LIBRARY, folder)
        done = subprocess.run(["unshare", "--mount", "sh", "-c", SCRIPT, "sh", library, PROGRAM], cwd=folder, text=True, check=False,
                              capture_output=True, env={"PATH": os.environ["PATH"], "HOME": folder})
        if done.returncode == 77:
            return skip("no list of uprobes in tracefs")
        with open(f"{folder}/trace.jsonl", encoding="utf-8") as file:
            pids = [int(pid) for pid in re.findall(r'"event":"(?:exec|clone|exit|free)".*?"pid":(\d+)', file.read())]
    seen = [tuple(map(int, walk)) for walk in re.findall(r"arg1=(\d+) arg2=(-?\d+) arg3=\d+ arg4=(-?\d+)", done.stdout)]
    told = [(event, result) for event, pid, result in seen if pid]  # of INIT there is none yet
    expected = [(EXEC_ADOPTED, 0), (CLONE, 0), (EXIT, 0), (FREE, 0), (EXIT, 0), (FREE, 0)]
    good = sorted(told) == sorted(expected) and sorted(pid for _, pid, _ in seen if pid) == sorted(pids)
    print(f"{'ok' if good else 'not ok'} 1 - {NAME}")
    if not good:
        print("".join(f"# {line}\n" for line in f"expected: {expected}, {pids}\n{done.stdout}{done.stderr}".splitlines()[-40:]), end="")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
