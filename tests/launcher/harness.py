# SPDX-License-Identifier: MIT
# How a test of the launcher runs it: a copy of scripts/taskwatch in a tree of its own, bare and under the
# launcher, and TAP on stdout. No test is here.
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

TESTS = []


class Skip(Exception):
    """Something that this machine lacks."""


def test(sentence):
    def remember(function):
        TESTS.append((sentence, function))
        return function
    return remember


class Tree:
    """A checkout with a linked build folder, an empty folder to work in, a quiet environment."""

    def __init__(self, source, build, folder):
        self.source, self.build = source, build
        self.root = os.path.join(folder, "checkout")
        os.makedirs(os.path.join(self.root, "scripts"))
        open(os.path.join(self.root, "meson.build"), "w").close()
        os.symlink(build, os.path.join(self.root, "build"))
        self.launcher = os.path.join(self.root, "scripts", "taskwatch")
        shutil.copy(os.path.join(source, "scripts", "taskwatch"), self.launcher)
        self.library = os.path.join(self.root, "build", "shim", "libtaskwatch.so")
        self.watchers = os.path.join(self.root, "build", "watchers")
        self.work = os.path.join(folder, "work")
        os.mkdir(self.work)
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith("TASKWATCH_") and name not in ("LD_PRELOAD", "NO_COLOR")}
        self.environment["LC_ALL"] = "C"

    def run(self, *words, **options):
        """Runs the launcher with these arguments; text out, text err."""
        return self.bare(options.pop("launcher", self.launcher), *words, **options)

    def bare(self, *words, env=None, only_env=None, cwd=None, **options):
        environment = dict(self.environment if only_env is None else only_env)
        environment.update(env or {})
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(words, env=environment, cwd=cwd or self.work, text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False, **options)

    def variables(self, *options, env=None, **more):
        """What the launcher adds to or changes in the environment of a program, as the program sees it."""
        bare = self.bare("/usr/bin/env", "-0", env=env)
        under = self.run(*options, "/usr/bin/env", "-0", env=env, **more)
        equal(under.returncode, 0, under.stderr)
        before, after = (dict(entry.split("=", 1) for entry in run.stdout.split("\0") if entry)
                         for run in (bare, under))
        after.pop("TASKWATCH_SESSION", None)  # the library's, not the launcher's
        return {name: value for name, value in after.items() if before.get(name) != value}

    def refused(self, *words, line, status=125, **more):
        """One line on stderr, nothing on stdout, this status."""
        result = self.run(*words, **more)
        equal(result.stderr, f"taskwatch: {line}\n")
        equal(result.stdout, "")
        equal(result.returncode, status)

    def file(self, name, text="", mode=0o644):
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        return path

    def compile(self, name, text, *flags):
        """A C program of the test's own."""
        compiler = shutil.which("gcc") or shutil.which("cc")
        if not compiler:
            raise Skip("no C compiler")
        result = self.bare(compiler, "-o", name, "-xc", self.file(name + ".c", text), "-xnone", *flags)
        if result.returncode:
            raise Skip(f"{compiler} {' '.join(flags)} does not work: {result.stderr.splitlines()[-1]}")
        return os.path.join(self.work, name)


def equal(seen, expected, context=""):
    if seen != expected:
        raise AssertionError(f"\n  seen:     {seen!r}\n  expected: {expected!r}\n{context}")


def holds(condition, context=""):
    if not condition:
        raise AssertionError(str(context))


def read(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def main(source, build):
    # The runner may ignore signals that a program under test is expected to have at their default.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    must_run = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    print(f"1..{len(TESTS)}", flush=True)
    failed = 0
    for number, (sentence, function) in enumerate(TESTS, 1):
        verdict, note = "ok", ""
        with tempfile.TemporaryDirectory(prefix="taskwatch-launcher.") as folder:
            try:
                function(Tree(source, build, os.path.realpath(folder)))
            except Skip as reason:
                verdict, note = ("not ok", "") if must_run else ("ok", f" # SKIP {reason}")
                print(f"# {reason}")
            except Exception:  # a test that breaks has failed, whatever it was
                verdict = "not ok"
                for line in traceback.format_exc().splitlines():
                    print("# " + line)
        failed += verdict != "ok"
        print(f"{verdict} {number} - {sentence}{note}", flush=True)
    sys.exit(1 if failed else 0)
