# SPDX-License-Identifier: MIT
# The files around the launcher: scripts, manual pages, what both say about each other.
import glob
import os
import re
import shutil

from harness import Skip, equal, holds, read, test


def need(program):
    if not shutil.which(program):
        raise Skip(f"no {program}")


def manuals(tree):
    return sorted(glob.glob(os.path.join(tree.source, "man", "*.[137]")))


@test("every shell script is ShellCheck-clean")
def _(tree):
    need("shellcheck")
    scripts = [path for path in glob.glob(tree.source + "/scripts/*") + glob.glob(tree.source + "/tools/*/*") +
               [tree.source + "/.ci/run"] if os.path.isfile(path) and re.match(r"#!/bin/(ba)?sh", read(path))]
    holds(len(scripts) >= 6, scripts)
    result = tree.bare("shellcheck", *scripts)
    equal((result.returncode, result.stdout), (0, ""))


@test("every script can be executed")
def _(tree):
    for path in glob.glob(tree.source + "/scripts/*") + [tree.source + "/.ci/run"]:
        holds(os.path.isdir(path) or os.access(path, os.X_OK), path)


@test("the manual pages are written without a warning")
def _(tree):
    equal(len(manuals(tree)), 4)
    need("groff")
    need("mandoc")
    for page in manuals(tree):
        groff = tree.bare("groff", "-mandoc", "-ww", "-z", page)
        equal((groff.returncode, groff.stdout + groff.stderr), (0, ""), page)
        lint = tree.bare("mandoc", "-Tlint", "-Wwarning", page)
        equal((lint.returncode, lint.stdout), (0, ""), page)


@test("--help and the manual have the same options")
def _(tree):
    words = r"(?<![\w-])(-[A-Za-z]|--[a-z][a-z-]+)"
    helped = {option for line in tree.run("--help").stdout.splitlines() if line.startswith("  ")
              for option in re.findall(words, line.split("   ")[0] if line.startswith("  -") else line[:26])}
    page = read(os.path.join(tree.source, "man", "taskwatch.1"))
    listed = {"-" + option.replace("\\", "") for line in page.splitlines() if line.startswith(".It Fl")
              for option in re.findall(r"Fl (-?[\w-]+)", line)}
    equal(sorted(helped), sorted(listed))


@test("the example of the manual compiles without a warning, and does what it says")
def _(tree):
    page = read(os.path.join(tree.source, "man", "taskwatch-watcher.3"))
    example = page.split(".Sh EXAMPLES")[1].split(".Bd -literal -offset indent\n")[1].split(".Ed")[0]
    tree.file("noshell.c", example)
    include = "-I" + os.path.join(tree.source, "include")
    need("gcc")
    result = tree.bare("gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", include, "-shared", "-fPIC",
                       "-o", "noshell.so", "noshell.c")
    equal((result.returncode, result.stderr), (0, ""))
    script = "/bin/sh -c 'echo shell'; /bin/echo echo"
    result = tree.run("-w", "./noshell.so", "bash", "-c", script)
    equal(result.stdout, "echo\n", result.stderr)
    holds("Permission denied" in result.stderr, result.stderr)
    equal(tree.bare("bash", "-c", script).stdout, "shell\necho\n")
