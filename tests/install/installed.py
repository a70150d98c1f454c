#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""installed.py SOURCE BUILD: what `meson install` puts where, and that it works there."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "launcher"))
from harness import Skip, equal, holds, main, read, test  # noqa: E402

BUILD = os.path.realpath(sys.argv[2])
PLACE = tempfile.TemporaryDirectory(prefix="taskwatch-installed.")


OPTIONS = {option["name"]: option["value"] for option in json.loads(subprocess.run(
    ["meson", "introspect", "--buildoptions", BUILD], capture_output=True, text=True, check=True).stdout)}
PREFIX, LIBDIR = OPTIONS["prefix"], OPTIONS["libdir"]


def destination():
    """DESTDIR, where all is installed once."""
    place = os.path.join(PLACE.name, "destdir")
    if not os.path.exists(place):
        subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", place],
                       stdout=subprocess.DEVNULL, check=True)
    return place


def installed(*names):
    return os.path.join(destination() + PREFIX, *names)


# Each file that may be there: the shell's own patterns would let '/' through.
PLACES = [
    r"bin/taskwatch(-symbolize)?", LIBDIR + r"/libtaskwatch\.so", LIBDIR + r"/taskwatch/[a-z_-]+\.so",
    LIBDIR + r"/taskwatch/taskwatch-[a-z]+", LIBDIR + r"/taskwatch/check/(taskwatch-check|check-(first|last)\.so)", LIBDIR + r"/pkgconfig/taskwatch\.pc",
    r"include/taskwatch/(notifier\.h|taskwatch\.h|(line|taskwatch|thread_data)\.hpp)", r"share/man/man1/taskwatch(-symbolize)?\.1",
    r"share/man/man3/taskwatch-watcher\.3", r"share/man/man7/taskwatch\.7",
    r"share/bash-completion/completions/taskwatch",
    r"share/taskwatch/new-watcher/(create|meson\.build|test\.sh|watcher\.c(pp)?)",
    r"share/doc/taskwatch/examples/[a-z_]+\.c(pp)?",
]


@test("each file is in its place, and nothing is anywhere else")
def _(tree):
    files = [os.path.relpath(os.path.join(folder, name), installed())
             for folder, _, names in os.walk(destination()) for name in names]
    for pattern in PLACES:
        holds(any(re.fullmatch(pattern, name) for name in files), f"nothing is {pattern}")
    for name in files:
        holds(any(re.fullmatch(pattern, name) for pattern in PLACES), f"{name} has no place")
    for watcher in ("trace", "limit", "fault"):
        holds(f"{LIBDIR}/taskwatch/{watcher}.so" in files, watcher)
    holds(f"{LIBDIR}/taskwatch/busy.so" not in files, "busy is for tests")
    holds(os.access(installed("bin/taskwatch"), os.X_OK))


@test("the installed launcher finds library, watchers and tools by its own place, also when all is moved")
def _(tree):
    moved = os.path.join(tree.work, "opt")
    shutil.copytree(installed(), moved)
    for prefix in (installed(), moved):
        launcher = os.path.join(prefix, "bin/taskwatch")
        seen = tree.variables(launcher=launcher)
        equal(seen, {"LD_PRELOAD": f"{prefix}/{LIBDIR}/libtaskwatch.so", "TASKWATCH_WATCHERS": "trace"})
        names = [line.split()[0] for line in tree.run("--list", launcher=launcher).stdout.splitlines()]
        holds({"fault", "limit", "trace"} <= set(names) and "busy" not in names, names)
        result = tree.run("--json", "-e", "exec", "-o", "-", "sh", "-c", "/bin/true; :", launcher=launcher)
        equal(result.stdout.count('"event":"exec"'), 2, result)


@test("pkg-config says what a watcher is compiled with, where it goes, and nothing to link with")
def _(tree):
    if not shutil.which("pkg-config"):
        raise Skip("no pkg-config")

    if not OPTIONS["pkgconfig.relocatable"]:
        raise Skip("this build was set up with pkgconfig.relocatable=false")
    moved = os.path.join(tree.work, "opt")
    shutil.copytree(installed(), moved)
    for prefix in (installed(), moved):
        def ask(*words):
            answer = tree.bare("pkg-config", *words, "taskwatch", env={
                "PKG_CONFIG_PATH": os.path.join(prefix, LIBDIR, "pkgconfig")})
            equal((answer.returncode, answer.stderr), (0, ""))
            return answer.stdout.strip()

        (flag,) = ask("--cflags").split()
        equal(flag[:2] + os.path.realpath(flag[2:]), "-I" + os.path.realpath(prefix + "/include"))
        equal(ask("--libs"), "")
        equal(ask("--modversion"), re.search(r"^readonly version=(.*)$", read(tree.launcher), re.M).group(1))
        for name, path in {"watcherdir": LIBDIR + "/taskwatch", "library": LIBDIR + "/libtaskwatch.so",
                           "launcher": "bin/taskwatch"}.items():
            equal(os.path.realpath(ask("--variable=" + name)), os.path.realpath(os.path.join(prefix, path)))
            holds(os.path.exists(os.path.join(prefix, path)), path)


if __name__ == "__main__":
    main(os.path.realpath(sys.argv[1]), BUILD)
