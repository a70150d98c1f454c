#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes hot_functions.ld: the library's functions that a start runs through, then those that a fork, a thread, a spawn and their
ends do, as callgrind sees them.

    hot_functions.py BUILD

For start.ld, which lays them together. Worth it when many of them have been added or renamed: a name that is missing, or that
no function has any more, costs a page fault at most.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CALLGRIND = "/usr/libexec/valgrind/callgrind-amd64-linux"
WATCHERS = {"TASKWATCH_WATCHERS": "trace:limit:fault", "TASKWATCH_TRACE": "format=json,output=/dev/null",
            "TASKWATCH_LIMIT": "tasks=100000", "TASKWATCH_FAULT": "on=init,when=1000000000"}


def executed(library, command, variables, scratch):
    """Names of the library's functions that the command and its forked children ran, as the linker knows them."""
    for file in glob.glob(f"{scratch}/out.*"):
        os.unlink(file)
    environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": library, "VALGRIND_LAUNCHER": "/usr/bin/valgrind", **variables}
    subprocess.run([CALLGRIND, "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={scratch}/out.%p", *command],
                   env=environment, check=True, capture_output=True, cwd="/")
    found = set()
    for file in glob.glob(f"{scratch}/out.*"):
        names, objects, here = {}, {}, False
        with open(file, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                kind = re.match(r"(c?)(fn|ob)=\((\d+)\)(?: (.*))?$", line)
                if not kind:
                    continue
                table = names if kind[2] == "fn" else objects
                if kind[4]:
                    table[kind[3]] = kind[4]
                if kind[1]:
                    continue
                if kind[2] == "ob":
                    here = os.path.basename(table[kind[3]]) in ("libtaskwatch.so", "???")  # its two segments puzzle valgrind
                elif here:
                    found.add(table[kind[3]].split("'")[0])  # a recursion's depth
    return found


def by_address(library):
    """Lists of names that are one function's, in the order of addresses."""
    listed = subprocess.run(["nm", "-n", library], check=True, capture_output=True, text=True).stdout
    functions = {}
    for address, name in re.findall(r"^(\S+) [tTW] ([\w.$]+)$", listed, re.M):
        functions.setdefault(address, []).append(name)
    return functions.values()


def main():
    build = os.path.abspath(sys.argv[1])
    library, order = f"{build}/shim/libtaskwatch.so", by_address(f"{build}/shim/libtaskwatch.so")
    target, work = f"{build}/tests/counted/counted-target", f"{build}/tests/bench/work"
    with tempfile.TemporaryDirectory(prefix="taskwatch-hot.") as scratch:
        with subprocess.Popen(["sh", "-c", "sh -c 'echo $TASKWATCH_SESSION; read end'; :"], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE, env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": library, **WATCHERS}) as shell:
            session = {**WATCHERS, "TASKWATCH_SESSION": shell.stdout.readline().strip()}
            groups = [
                ("a start without watchers", executed(library, ["/bin/true"], {}, scratch)),
                ("a start with the built-in ones, and its end", executed(library, ["/bin/true"], session, scratch)),
                ("a fork, the child and its end", executed(library, [target, "fork", "3"], session, scratch)),
                ("a shell's children, a spawn, a thread, a change of ids",
                 executed(library, ["/bin/sh", "-c", "/bin/true; (exit 1); :"], session, scratch)
                 | executed(library, [work, "posix_spawn", "3", "0"], session, scratch)
                 | executed(library, [target, "thread", "3"], session, scratch)
                 | executed(library, [target, "seteuid", "3"], session, scratch)),
            ]
            shell.stdin.close()
    seen = set()
    with open(f"{HERE}/hot_functions.ld", "w", encoding="ascii") as file:
        file.write("/* SPDX-License-Identifier: MIT */\n/* Written by hot_functions.py, not by hand; for start.ld. */\n")
        for title, functions in groups:
            file.write(f"/* {title} */\n")
            for name in dict.fromkeys(name for names in order if functions & set(names) for name in names):
                # .text.startup: constructors; .text.unlikely: what the compiler takes for rare, and those parts of functions.
                pattern = f".text.unlikely.{name[:-5]}" if name.endswith(".cold") else f".text.{name} .text.*.{name}"
                if name not in seen:
                    file.write(f"*({pattern})\n")
                seen.add(name)


if __name__ == "__main__":
    main()
