# SPDX-License-Identifier: MIT
# How a test of bad input runs a tree of programs under the shim, and what it says about it: one line a test,
# "ok - SENTENCE" or "not ok - SENTENCE". No test is here.
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback

TESTS = []
SOURCE = os.path.dirname(os.path.abspath(__file__))

# 50 processes made one after the other, all of which would say what the first one says.
TREE = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; echo done; exit 7"


class Skip(Exception):
    """Something that this machine lacks."""


def test(sentence):
    def remember(function):
        TESTS.append((sentence, function))
        return function
    return remember


class Bench:
    """A build folder, an empty folder to work in, and a quiet environment."""

    def __init__(self, build, folder, shim):
        self.build, self.work, self.shim = build, folder, shim
        self.library = os.path.join(build, "shim", "libtaskwatch.so")
        self.plugins = os.path.join(build, "tests", "plugins")
        self.path = self.plugins + ":" + os.path.join(build, "watchers")
        self.environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C", "HOME": folder}

    def plugin(self, name):
        return os.path.join(self.plugins, name + ".so")

    def missing(self, name):
        return ours(f"watcher '{name}': no {name}.so in TASKWATCH_PATH or {self.build}/shim/taskwatch; "
                    "'taskwatch --list' shows what there is")

    def under(self, watchers, **variables):
        """The environment of a session: the contract that a user without the launcher has."""
        result = dict(self.environment)
        if self.shim:
            result.update(LD_PRELOAD=self.library, TASKWATCH_PATH=self.path, TASKWATCH_WATCHERS=watchers)
        result.update({f"TASKWATCH_{name}": value for name, value in variables.items()})
        return result

    def run(self, words, env, **options):
        """Runs it in the work folder; .stdout, .stderr in bytes, .returncode."""
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(words, env=env, cwd=self.work, timeout=120, check=False, **options)

    def bare(self, words, **options):
        return self.run(words, dict(self.environment), **options)

    def tree(self, watchers, stderr, path=None, **variables):
        """The tree under these watchers says exactly `stderr` and is otherwise as without us."""
        env = self.under(watchers, **variables)
        if path is not None:
            env["TASKWATCH_PATH"] = path
        result = self.run(["/bin/sh", "-c", TREE], env)
        same(result.stderr.decode(errors="backslashreplace"), stderr)
        same((result.stdout, result.returncode), (b"done\n", 7))

    def file(self, name, data=b"", mode=0o644):
        path = os.path.join(self.work, name)
        with open(path, "wb") as stream:
            stream.write(data)
        os.chmod(path, mode)
        return path

    def compile(self, name, compiler="cc", flags=()):
        """The program of programs/NAME.c."""
        if not shutil.which(compiler):
            raise Skip(f"no {compiler}")
        output = os.path.join(self.work, name)
        source = os.path.join(SOURCE, "programs", name + ".c")
        result = self.bare([compiler, "-O1", "-o", output, source, *flags])
        if result.returncode:
            last = result.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise Skip(f"{compiler} {' '.join(flags)} does not work here: {''.join(last)}")
        return output


def ours(*lines):
    """What the library says on stderr."""
    return "".join(f"libtaskwatch: {line}\n" for line in lines)


def same(seen, expected, context=""):
    if seen != expected:
        raise AssertionError(f"\n  seen:     {seen!r}\n  expected: {expected!r}\n{context}")


def outcome(result):
    """What a program shows of itself: compare it under the shim with what it is without."""
    return (result.returncode, result.stdout, result.stderr)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def as_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def clang_runtime_folder():
    """Where clang's shared sanitizer runtimes are: no program finds them by itself."""
    asked = subprocess.run(["clang", "--print-resource-dir"], stdout=subprocess.PIPE, text=True, check=True)
    found = glob.glob(asked.stdout.strip() + "/lib/**/libclang_rt.asan*.so", recursive=True)
    if not found:
        raise Skip("clang has no shared sanitizer runtime")
    return os.path.dirname(found[0])


def main(build, shim, only):
    # A runner may ignore signals that a program is expected to have at their default.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    must_run = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    chosen = [entry for entry in TESTS if only in entry[0]]
    print(f"1..{len(chosen)}", flush=True)
    failed = 0
    for sentence, function in chosen:
        verdict, note = "ok", ""
        folder = os.path.realpath(tempfile.mkdtemp(prefix="taskwatch-bad-input."))
        os.chmod(folder, 0o755)
        try:
            function(Bench(build, folder, shim))
        except Skip as reason:
            verdict, note = ("not ok" if must_run else "ok"), f" # SKIP {reason}"
        except Exception:  # a test that breaks has failed, whatever it was
            verdict = "not ok"
            for line in traceback.format_exc().splitlines():
                print("# " + line)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        failed += verdict != "ok"
        print(f"{verdict} - {sentence}{note}", flush=True)
    if not chosen:
        print(f"# no test has {only!r} in its name")
    sys.exit(1 if failed or not chosen else 0)
