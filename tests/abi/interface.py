#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""interface.py LIBRARY INCLUDE RECORDS [--record | --prove]

What others are compiled against, compared with what is on record in RECORDS by libabigail: library.abi, the
exported symbols of LIBRARY (with debug information) and the types of its functions; watcher.abi, the types and
constants of the headers in INCLUDE, as a watcher has them. An addition is compatible: a new function or constant, a
field at the end of a struct. It is told, and to be recorded with --record. Anything else fails. --prove: that each
way of being incompatible is found, and that additions are let through."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

# abidiff's status is a set of bits: 1 and 2 are its own errors, 4 is a change, 8 one that cannot be compatible.
ERROR, CHANGE = 3, 12


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=False)


def need(*words):
    result = run(*words)
    if result.returncode:
        sys.exit(f"{' '.join(words)}:\n{result.stdout}{result.stderr}")
    return result.stdout


def constants(include):
    """Names of the macros that are numbers."""
    for header in ("notifier.h", "taskwatch.h"):
        with open(os.path.join(include, "taskwatch", header), encoding="utf-8") as stream:
            yield from re.findall(r"^#define (\w+)[ \t]+[^\s\"]", stream.read(), re.M)


def structs(include):
    for header in ("notifier.h", "taskwatch.h"):
        with open(os.path.join(include, "taskwatch", header), encoding="utf-8") as stream:
            yield from re.findall(r"^struct (\w+) \{", stream.read(), re.M)


def compile_watcher(include, folder):
    """An object in whose debug information are all types and constants of the headers."""
    source, watcher = os.path.join(folder, "watcher.c"), os.path.join(folder, "watcher.so")
    with open(source, "w", encoding="utf-8") as stream:
        stream.write("#include <taskwatch/taskwatch.h>\nenum taskwatch_constants {\n")
        stream.writelines(f"\tHAS_{name} = {name},\n" for name in constants(include))
        stream.write("};\nint interface(enum taskwatch_constants c")
        stream.writelines(f", struct {name} *{name}" for name in structs(include))
        stream.write(") { (void)c; return 0; }\n")
    need("gcc", "-std=gnu11", "-g", "-shared", "-fPIC", "-w", "-I", include, "-Wl,-soname,watcher.so", "-o", watcher, source)
    return watcher


def describe(binary, target, *options):
    """The description of one object, without what differs from place to place."""
    text = need("abidw", "--exported-interfaces-only", "--type-id-style", "hash", "--no-show-locs", "--no-comp-dir-path",
                "--no-corpus-path", *options, binary)
    with open(target, "w", encoding="utf-8") as stream:
        stream.write(re.sub(r" path='[^']*/", " path='", text))


# Structures that say their size in the first field, or are the library's own to fill in.
GROWING = {"task_watch", "taskwatch_watcher", "taskwatch_sink"}


def sizes(record):
    return {c.get("name"): int(c.get("size-in-bits")) for c in ElementTree.parse(record).iter("class-decl")
            if c.get("name") in GROWING and c.get("size-in-bits")}


def without_growth(seen, record, target):
    """The same description less the fields that begin behind a struct's end on record."""
    known, tree = sizes(record), ElementTree.parse(seen)
    for struct in tree.iter("class-decl"):
        size = known.get(struct.get("name"))
        if not size or not struct.get("size-in-bits"):
            continue
        for member in struct.findall("data-member"):
            if int(member.get("layout-offset-in-bits")) >= size:
                struct.remove(member)
        struct.set("size-in-bits", str(min(size, int(struct.get("size-in-bits")))))
    tree.write(target)
    return target


def same(one, other):
    """Line by line, in any order: that of the files that were linked is of no account."""
    with open(one, encoding="utf-8") as first, open(other, encoding="utf-8") as second:
        return sorted(first) == sorted(second)


def check(record, seen):
    """What is incompatible, or ''; and whether there is anything new."""
    with tempfile.NamedTemporaryFile(suffix=".abi") as old_part:
        result = run("abidiff", "--no-added-syms", record, without_growth(seen, record, old_part.name))
    if result.returncode & ERROR or result.returncode & ~(ERROR | CHANGE):
        sys.exit(f"abidiff {record} {seen}: status {result.returncode}\n{result.stdout}{result.stderr}")
    if result.returncode & CHANGE:
        return result.stdout, False
    return "", not same(record, seen)


def describe_all(library, include, folder):
    describe(compile_watcher(include, folder), os.path.join(folder, "watcher.abi"))
    describe(library, os.path.join(folder, "library.abi"), "--headers-dir", include, "--drop-private-types")


# --- a comparison that cannot fail is none

CHANGES = {
    # what it is: (a pattern of taskwatch.h, its replacement, compatible)
    "a field is added at the end": (r"(const struct rusage \*usage;.*\n)\};", r"\1\tint more;\n};", True),
    "a constant is added": (r"(#define WATCH_MASK_ALL .*\n)", r"\1#define WATCH_MASK_MORE 0x1000u\n", True),
    "a field is added in the middle": (r"(\tuint64_t id;.*\n)", r"\tuint64_t more;\n\1", False),
    "a field is lost": (r"\tconst char \*call;.*\n", "", False),
    "a field has another type": (r"\tint32_t error; ", "\tint64_t error; ", False),
    "two fields change places": (r"(\tpid_t pid;.*\n)(\tpid_t tgid;.*\n)", r"\2\1", False),
    "a constant has another value": (r"(#define WATCH_MASK_EXIT) .*", r"\1 0x400u", False),
    "a constant is lost": (r"#define WATCH_MASK_FAILED .*\n", "", False),
    "a callback has another parameter": (r"void \(\*fini\)\(int reason\)", "void (*fini)(long reason)", False),
}


def changed_headers(include, folder, pattern, replacement):
    shutil.copytree(include, folder)
    path = os.path.join(folder, "taskwatch", "taskwatch.h")
    with open(path, encoding="utf-8") as stream:
        text, count = re.subn(pattern, replacement, stream.read())
    assert count == 1, f"{pattern}: {count} times in taskwatch.h"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def prove(library, include, folder):
    describe_all(library, include, folder)
    wrong = []
    for number, (what, (pattern, replacement, compatible)) in enumerate(CHANGES.items()):
        place = os.path.join(folder, str(number))
        changed_headers(include, place, pattern, replacement)
        describe(compile_watcher(place, place), os.path.join(place, "watcher.abi"))
        fault, news = check(os.path.join(folder, "watcher.abi"), os.path.join(place, "watcher.abi"))
        if bool(fault) == compatible or news != compatible:
            wrong.append(f"{what}: {fault or (news and 'an addition') or 'no difference'}")
    record, fewer = (os.path.join(folder, name) for name in ("library.abi", "fewer.abi"))
    with open(record, encoding="utf-8") as stream:
        text = stream.read()
    with open(fewer, "w", encoding="utf-8") as stream:  # without one symbol and its function
        stream.write(re.sub(r"<function-decl name='taskwatch_once'.*?</function-decl>|<elf-symbol name='taskwatch_once'[^>]*/>",
                            "", text, flags=re.S))
    if not check(record, fewer)[0]:
        wrong.append("a lost function is not found")
    if check(fewer, record)[0]:
        wrong.append("a new function is refused")
    return wrong


def main():
    library, include, records = sys.argv[1:4]
    with tempfile.TemporaryDirectory(prefix="taskwatch-interface.") as folder:
        if "--prove" in sys.argv:
            wrong = prove(library, include, folder)
            print("\n".join(wrong) or "each was found")
            return 1 if wrong else 0
        if "--record" in sys.argv:
            describe_all(library, include, folder)
            for name in ("library.abi", "watcher.abi"):
                if not same(os.path.join(folder, name), os.path.join(records, name)):
                    shutil.copy(os.path.join(folder, name), os.path.join(records, name))
            return 0
        describe_all(library, include, folder)
        failed = False
        for name in ("library.abi", "watcher.abi"):
            fault, news = check(os.path.join(records, name), os.path.join(folder, name))
            failed = failed or bool(fault)
            print(f"{name}: " + ("incompatible with what is on record:\n" + fault if fault else
                                 "it has grown: ninja -C build record-interface puts that on record" if news else
                                 "as on record"))
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
