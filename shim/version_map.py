#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the linker's version map (or, with --names, the list of exported names) from functions.def:
version_map.py [--i386] FUNCTIONS.def MAP, or --names FUNCTIONS.def.

Symbols without a version match every version that a program asks for, so they must not be named here
(a named node would version them); what is not exported is hidden by the compiler. Only the functions
that libc has in two versions which behave differently are versioned.
"""
import re
import sys

API = """register_task_watcher register_task_watcher_events unregister_task_watcher notify_watchers
taskwatch_cell taskwatch_shared taskwatch_sweep taskwatch_sink_init taskwatch_write
taskwatch_sink_is_stream taskwatch_sink_is_terminal taskwatch_lost taskwatch_once
taskwatch_fail_session taskwatch_for_each_task""".split()


def read(path, spawn_of_old="GLIBC_2.2.5"):
    """{name: {versions}}; an empty set for a function in libc's default version only."""
    names = {}
    text = open(path, encoding="utf-8").read()
    for kind, arguments in re.findall(r"^(FUNCTION|VERSIONED|ALIAS|VARIADIC)\((.*)\)$", text, re.M):
        words = [a.strip() for a in arguments.split(",")]
        name = words[1] if kind == "VERSIONED" else words[0]
        version = words[-1].strip('"').replace("SPAWN_OF_OLD", spawn_of_old) if kind in ("FUNCTION", "VERSIONED") else ""
        names.setdefault(name, set())
        if version:
            names[name].add(version)
    return names


def main():
    names = read(*[sys.argv[-2], "GLIBC_2.2"] if sys.argv[1] == "--i386" else sys.argv[-1 if sys.argv[1] == "--names" else -2:][:1])
    if sys.argv[1] == "--names":
        for name in sorted(names):
            for version in sorted(names[name]) or [""]:
                print(name + ("@" + version if version else ""))
        print("\n".join(API))
        return
    versions = sorted({v for vs in names.values() for v in vs})
    with open(sys.argv[-1], "w", encoding="utf-8") as out:
        # The versioned names get their node from .symver in wrap_spawn.cpp.
        for version in versions:
            out.write("%s {\n  global:\n" % version)
            for name in sorted(n for n, vs in names.items() if version in vs):
                out.write("    %s;\n" % name)
            # The descriptors of the built-in watchers, which their sources export for the file.
            out.write("  local:\n    taskwatch_watcher_*;\n};\n" if version == versions[0] else "};\n")


if __name__ == "__main__":
    main()
