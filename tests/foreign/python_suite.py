#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Python's own tests of processes, threads, signals and ids end under the library as they end without it.

    python_suite.py BUILD

Debian's python3 and its package libpython3.11-testsuite run them: bare, under watchers that write nothing, and under trace with
a file. What differs is run again by itself, so that a busy machine's time-outs do not count. Prints TAP; a python3 without its
tests is a skip, which TASKWATCH_TESTS_MUST_RUN=1 makes a failure.
"""
import concurrent.futures
import os
import subprocess
import sys
import tempfile
from xml.etree import ElementTree

BUILD = os.path.abspath(sys.argv[1])
PYTHON = "/usr/bin/python3"
MODULES = ["test_subprocess", "test_posix", "test_os", "test_popen", "test_pty", "test_wait3", "test_wait4", "test_fork1",
           "test_threadsignals", "test_threading"]
AT_LEAST = 700  # cases; a run that has fewer has tested something else

# A task under trace with a file has one descriptor more (LIMITS, "What a program can notice"); these two list theirs.
LIST_DESCRIPTORS = {"test_close_fds_when_max_fd_is_lowered", "test_pass_fds_redirected"}

QUIET = {"TASKWATCH_WATCHERS": "busy:limit:fault", "TASKWATCH_LIMIT": "tasks=100000", "TASKWATCH_FAULT": "on=init,when=1000000"}
WRITING = {"TASKWATCH_WATCHERS": "trace", "TASKWATCH_TRACE": "format=json,output={folder}/trace.jsonl"}


def preloaded(variables):
    return {"LD_PRELOAD": os.path.join(BUILD, "shim", "libtaskwatch.so"), "TASKWATCH_PATH": os.path.join(BUILD, "watchers"),
            **variables}


def outcome(case):
    return next((kind for kind in ("error", "failure", "skipped") if case.find(kind) is not None), "passed")


def run(variables, *which):
    """{name of a case: how it ended}, and how many lines a trace has."""
    with tempfile.TemporaryDirectory(prefix="foreign-") as folder:
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": folder,
                       **{name: value.format(folder=folder) for name, value in variables.items()}}
        subprocess.run([PYTHON, "-m", "test", "-j3", "--junit-xml", "results.xml", *which], cwd=folder, env=environment,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=500)
        root = ElementTree.parse(os.path.join(folder, "results.xml")).getroot()
        trace = os.path.join(folder, "trace.jsonl")
        lines = 0
        if os.path.exists(trace):
            with open(trace, "rb") as stream:
                lines = sum(1 for _ in stream)
        return {case.get("name"): outcome(case) for case in root.iter("testcase")}, lines


def differing(one, other):
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}


def persistent(names, variables):
    """Those of the cases that end otherwise than bare when they run alone, twice."""
    for _ in range(2):
        if names:
            which = [word for name in sorted(names) for word in ("-m", name.rpartition(".")[2])]
            names &= differing(run({}, *which, *MODULES)[0], run(variables, *which, *MODULES)[0])
    return names


def judge(bare, seen, variables, expected):
    """What is wrong, as sentences."""
    wrong = persistent(differing(bare, seen), variables)
    short = {name.rpartition(".")[2] for name in wrong}
    said = [f"{name}: bare {bare.get(name)}, watched {seen.get(name)}" for name in sorted(wrong)
            if name.rpartition(".")[2] not in expected]
    return said + [f"{name} ends as it ends bare: LIMITS says otherwise" for name in sorted(expected - short)]


def main():
    must_run = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    print("1..2")
    if subprocess.run([PYTHON, "-c", "import test.test_subprocess"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        for number in (1, 2):
            print(f"{'not ' if must_run else ''}ok {number} - python's own tests # SKIP libpython3.11-testsuite not installed")
        return must_run
    quiet, writing = preloaded(QUIET), preloaded(WRITING)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        (bare, _), (under_quiet, _), (under_trace, lines) = pool.map(lambda variables: run(variables, *MODULES), ({}, quiet, writing))
    wrong = [] if len(bare) >= AT_LEAST else [f"only {len(bare)} cases"]
    wrong += judge(bare, under_quiet, quiet, set())
    print(f"{'not ' if wrong else ''}ok 1 - {len(bare)} tests of python's own end as without busy, limit and fault")
    print("".join(f"# {line}\n" for line in wrong), end="")
    wrong_traced = judge(bare, under_trace, writing, LIST_DESCRIPTORS)
    wrong_traced += [] if lines > len(bare) else [f"the trace has {lines} lines"]
    print(f"{'not ' if wrong_traced else ''}ok 2 - and as without trace, but for the two that list their descriptors")
    print("".join(f"# {line}\n" for line in wrong_traced), end="")
    return bool(wrong or wrong_traced)


if __name__ == "__main__":
    sys.exit(main())
