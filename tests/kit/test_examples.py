# SPDX-License-Identifier: MIT
# watchers/examples, each under a real program.
import os
import re
import sys

from harness import Skip, equal, holds, test

PYTHON = os.path.realpath(sys.executable)


def example(tree, name):
    return os.path.join(tree.build, "watchers", "examples", name + ".so")


@test("noshell refuses shells and nothing else, and allow= excepts one")
def _(tree):
    script = """
import subprocess
for words in ["sh", "-c", "echo"], ["dash", "-c", "echo"], ["true"]:
    try:
        print(words[0], subprocess.run(words, stdout=subprocess.DEVNULL).returncode)
    except PermissionError:
        print(words[0], "refused")
"""
    equal(tree.run("-w", example(tree, "noshell"), PYTHON, "-c", script).stdout, "sh refused\ndash refused\ntrue 0\n")
    equal(tree.run("-w", example(tree, "noshell") + ":allow=dash", PYTHON, "-c", script).stdout,
          "sh refused\ndash 0\ntrue 0\n")
    said = tree.run("-w", example(tree, "noshell") + ":deny=sh", "true").stderr
    holds("the one option is allow=NAME, the name of a shell" in said, said)


@test("lives tells of a process what it executed, of a thread who made it and what it used")
def _(tree):
    script = """
import os, threading
def work():
    n = 0
    for i in range(300000): n += i
for _ in range(2):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(os.getpid())
if os.fork() == 0: os.execv("/bin/sh", ["sh", "-c", "exec /bin/true"])
os.wait()
"""
    log = os.path.join(tree.work, "lives.txt")
    result = tree.run("-w", f"{example(tree, 'lives')}:file={log}", PYTHON, "-c", script)
    pid = result.stdout.strip()
    with open(log, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    # python's join is not pthread_join: its threads may end later than it says.
    threads = [re.fullmatch(rf"\d+: a thread of {pid}, made by {pid}, (\d+) us of processor time", line) for line in lines]
    used = [int(thread.group(1)) for thread in threads if thread]
    holds(len(used) == 2 and all(500 < us < 20_000_000 for us in used), lines)
    processes = [line for line, thread in zip(lines, threads) if not thread]
    holds(re.fullmatch(r"\d+: a process, programs executed: 2", processes[0]), lines)
    equal(processes[1:], [f"{pid}: a process, programs executed: 1"])
    equal(result.stderr, "")


@test("lives has data of each of two hundred threads at once, and of three thousand one after the other")
def _(tree):
    script = """
import threading
for _ in range(2900):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
all_there = threading.Barrier(200)
threads = [threading.Thread(target=all_there.wait) for _ in range(200)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    log = os.path.join(tree.work, "lives.txt")
    tree.run("-w", f"{example(tree, 'lives')}:file={log}", PYTHON, "-c", script)
    with open(log, encoding="utf-8") as stream:
        lines = stream.read().splitlines()
    equal(len([line for line in lines if ", made by " in line]), 3100)
    equal(len(lines), 3101)


@test("process_events, a watcher of 2006, tells forks, execs, ids and ends in their order, numbered over the session")
def _(tree):
    if os.geteuid() != 0:
        raise Skip("it changes ids, so it needs root")
    script = """
import os
if os.fork() == 0:
    os.setgid(65534)
    os.seteuid(65534)
    os._exit(3)
os.wait()
"""
    said = tree.run("-w", example(tree, "process_events"), PYTHON, "-c", script).stderr
    lines = [re.sub(r" ns=\d+$", "", line) for line in said.splitlines()]
    parent, child = re.search(r"fork parent=(\d+) child=(\d+)", said).groups()
    equal(lines, [
        f"exec pid={parent} tgid={parent} seq=0",
        f"fork parent={parent} child={child} child_tgid={child} seq=1",
        f"gid pid={child} real=65534 effective=65534 seq=2",
        f"uid pid={child} real=0 effective=65534 seq=3",
        f"exit pid={child} tgid={child} code=768 seq=4",
        f"exit pid={parent} tgid={parent} code=0 seq=5",
    ])
