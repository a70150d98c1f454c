#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exports.py SOURCE-ROOT LIBRARY: the library exports what functions.def lists and the header declares, with
the same versions, and nothing else; libc has a function of that name and version; and each wrapped function
is called by a test under preload."""
import os
import re
import subprocess
import sys

failures = []


def differ(what, seen, expected):
    for name in sorted(seen - expected):
        failures.append(f"{what}: {name} is too many")
    for name in sorted(expected - seen):
        failures.append(f"{what}: {name} is missing")


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def exported(path):
    """{"fork", "posix_spawn@GLIBC_2.15"}, and the names with a default version."""
    output = subprocess.run(["nm", "-D", "--with-symbol-versions", "--defined-only", path], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    symbols = [words[2] for words in map(str.split, output.splitlines()) if len(words) == 3 and words[1] != "A"]
    return {s.replace("@@", "@") for s in symbols}, {s for s in symbols if "@@" in s}


def declared(header):
    """The functions that a header declares, static ones aside."""
    text = re.sub(r"/\*.*?\*/", "", read(header), flags=re.S)
    return set(re.findall(r"^(?!static)[a-z][\w \*]*?\b(\w+)\([^;{)]*\);", text, re.M))


def main():
    root, library = sys.argv[1:3]
    command = [sys.executable, f"{root}/shim/version_map.py", "--names", f"{root}/shim/functions.def"]
    listed = set(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split())
    seen, defaults = exported(library)
    differ("exports", seen, listed)
    differ("default versions", defaults, {"posix_spawn@@GLIBC_2.15", "posix_spawnp@@GLIBC_2.15"})
    interface = declared(f"{root}/include/taskwatch/taskwatch.h")
    differ("declared in taskwatch.h", interface, {name for name in listed if "task_watcher" in name or
                                                  name.startswith("taskwatch_") or name == "notify_watchers"})
    wrapped = {name.partition("@") for name in listed - interface}
    libc = subprocess.run(["nm", "-D", "--with-symbol-versions", "--defined-only", libc_path()], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    for name, _, version in sorted(wrapped):
        if not re.search(rf" {re.escape(name)}@@?{re.escape(version) or '.'}", libc):
            failures.append(f"libc has no {name} {version}")
    calls = "".join(read(entry.path) for entry in os.scandir(f"{root}/tests/calls")
                    if entry.name.endswith((".c", ".h")))
    registered_by_libc = {"__libc_start_main", "__register_atfork", "__cxa_atexit", "__cxa_at_quick_exit"}
    for name in sorted({name for name, _, _ in wrapped} - registered_by_libc):
        if not re.search(rf'\b{name}\(|"{name}"', calls):
            failures.append(f"tests/calls: {name} is not called by any program")
    print("\n".join(failures) or f"{len(seen)} names as listed")
    sys.exit(1 if failures else 0)


def libc_path():
    with open("/proc/self/maps", encoding="utf-8") as stream:
        return next(line.split()[-1] for line in stream if "/libc.so.6" in line or "/libc-2" in line)


if __name__ == "__main__":
    main()
