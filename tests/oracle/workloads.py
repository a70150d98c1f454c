# SPDX-License-Identifier: MIT
"""The workloads: what is run, at least how many events of each kind it must make (an empty tree would be a perfect
score), and what of it nobody can tell.

  command    in a folder of its own
  prepare    makes that folder ready, not watched
  status     exit status; None: any
  floor      at least so many matched events of a kind
  adopted    tasks that libc or the kernel makes by itself, exactly
  unknown    ends whose status nobody can learn, at most
  alone      images that lose the session's memory with their user, exactly
  needs      wrapped functions without which it says nothing: it is left out until they are there
  calls      names of calls that must be in the trace
"""
import dataclasses
import os
import shutil
import subprocess
import sys
import typing

HERE = os.path.dirname(os.path.realpath(__file__))
FOLDER = os.path.join(HERE, "programs")


@dataclasses.dataclass
class Workload:
    name: str
    command: list
    floor: dict
    status: int = 0
    prepare: typing.Callable = None
    adopted: int = 0
    unknown: int = 0
    alone: int = 0
    needs: tuple = ()
    calls: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)


def quietly(folder, *command):
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def write_project(folder, build):
    quietly(folder, os.path.join(HERE, "..", "..", "scripts", "demo-tree"), folder)


def copy_programs(folder, build):
    """Beside each other, readable for those who give up their rights."""
    for name in ("every_call", "still", "threads", "helpers", "unseen"):
        shutil.copy(os.path.join(build, name), os.path.join(folder, name))
    with open(os.path.join(folder, "script"), "w", encoding="ascii") as script:
        script.write("#!/bin/sh\nexit 5\n")
        os.fchmod(script.fileno(), 0o755)


def make_repository(folder, build):
    with open(os.path.join(folder, "config"), "w", encoding="ascii") as config:
        config.write("[user]\nname = A\nemail = a@example.org\n[gc]\nauto = 0\n[maintenance]\nauto = false\n"
                     "[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n")


def every_call(seed):
    return Workload(
        name=f"every call, seed {seed}",
        command=["./every_call", str(seed)],
        prepare=copy_programs,
        status=None,
        floor={"fork": 45, "exec": 20, "exit": 45, "uid": 30, "gid": 30},
        calls=("fork", "_Fork", "vfork", "clone", "posix_spawn", "posix_spawnp", "setuid", "seteuid", "setreuid",
               "setresuid", "setfsuid", "setgid", "setegid", "setregid", "setresgid", "setfsgid", "pthread_create", "thrd_create", "exit", "_exit",
               "quick_exit"))


def helpers():
    return Workload("helpers of libc", ["./helpers"], prepare=copy_programs, status=38,
                    needs=("system", "popen", "daemon", "forkpty"), calls=("system", "popen", "daemon", "forkpty"),
                    floor={"fork": 17, "exec": 13, "exit": 17})


def system_calls():
    return Workload("syscall()", ["./helpers", "syscall"], prepare=copy_programs, status=39, needs=("syscall",),
                    floor={"fork": 13, "exec": 6, "exit": 13, "uid": 3, "gid": 3})


def all_workloads(seed):
    git = {"GIT_CONFIG_GLOBAL": "config", "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
    return [
        Workload("make -j2", ["make", "-j2", "--no-print-directory"], prepare=write_project,
                 floor={"fork": 180, "exec": 180, "exit": 180}),
        Workload("a shell script, bash", ["bash", os.path.join(FOLDER, "jobs.bash")], status=42,
                 floor={"fork": 55, "exec": 30, "exit": 55}),
        Workload("a shell script, sh", ["sh", os.path.join(FOLDER, "jobs.sh")], status=17,
                 floor={"fork": 24, "exec": 19, "exit": 24}),
        Workload("python", [sys.executable, os.path.join(FOLDER, "children.py")], status=23,
                 floor={"fork": 43, "exec": 24, "exit": 43}),
        Workload("perl", ["perl", os.path.join(FOLDER, "children.pl")], status=31,
                 floor={"fork": 15, "exec": 8, "exit": 15}),
        Workload("git", ["sh", os.path.join(FOLDER, "history.sh")], prepare=make_repository, status=19,
                 environment=git,
                 floor={"fork": 190, "exec": 150, "exit": 190}),
        Workload("threads", ["./threads"], prepare=copy_programs, status=37, needs=("pthread_create",),
                 floor={"fork": 53, "exec": 18, "exit": 53, "uid": 2, "gid": 2}),
        Workload("threads of libc's own", ["./unseen"], prepare=copy_programs, status=40, adopted=3,
                 floor={"fork": 1, "exec": 2, "exit": 2}),
        helpers(),
        system_calls(),
        every_call(seed),
    ]


def for_twin(family, seed):
    """What the library without one family of wrappers can live through: a vfork child that it does not know of ends
    its parent's life with its own, so the children there only exec."""
    commands = "for n in 1 2 3 4 5 6 7 8 9; do /bin/true; basename /a/b; done >/dev/null"
    if family in ("fork", "vfork"):
        return Workload(f"commands, {'bash' if family == 'fork' else 'sh'}", ["bash" if family == "fork" else "sh", "-c", commands], floor={})
    if family in ("system", "popen", "daemon"):
        return helpers()
    return system_calls() if family == "syscall" else every_call(seed)
