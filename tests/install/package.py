#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""package.py SOURCE BUILD: what is given away. The tarball of `meson dist` from this tree's files, a Debian package
built from that tarball, installed into a root of its own by dpkg, at work there, and removed; then the tarball's
own tests, with the flags that the package was built with. Nothing is installed on this machine."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "launcher"))
from harness import Skip, equal, holds, main, test  # noqa: E402

TRIPLET = os.uname().machine + "-linux-gnu"
PLACE = tempfile.TemporaryDirectory(prefix="taskwatch-package.")  # one for all tests, which build on each other
TREE = os.path.join(PLACE.name, "tree")  # the unpacked tarball
os.chmod(PLACE.name, 0o755)  # a program that becomes another user is among the tests
ROOT = os.path.join(PLACE.name, "root")  # where the packages are installed
LIMIT = 400


def run(*words, cwd=PLACE.name, env=None):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TASKWATCH_", "MESON"))}
    result = subprocess.run(words, cwd=cwd, env=environment | {"LC_ALL": "C"} | (env or {}), text=True, errors="replace",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
    if result.returncode:
        raise AssertionError(f"{' '.join(words)}: status {result.returncode}\n" + "\n".join(result.stdout.splitlines()[-60:]))
    return result.stdout


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program}")


def need_tree():
    if not os.path.exists(TREE):
        raise Skip("there is no tarball to build from")


def need_packages():
    if not glob.glob(PLACE.name + "/*.deb"):
        raise Skip("no package was built")


@test("meson dist makes a tarball of everything that is needed to build")
def _(tree):
    need("git", "meson")
    # A repository of its own: the files as they are now, whatever the checkout is.
    copy = os.path.join(PLACE.name, "copy")
    shutil.copytree(tree.source, copy, symlinks=True,
                    ignore=lambda folder, names: [n for n in names if n == ".git" or
                                                  (folder == tree.source and n.startswith("build"))])
    identity = ["-c", "user.name=test", "-c", "user.email=test@taskwatch.example", "-c", "commit.gpgsign=false"]
    run("git", "init", "-q", cwd=copy)
    run("git", "add", "-A", cwd=copy)
    run("git", *identity, "commit", "-q", "-m", "As it is", cwd=copy)
    run("meson", "setup", "build", "-Dtests=false", cwd=copy)
    run("meson", "dist", "-C", "build", "--no-tests", "--formats", "gztar", cwd=copy)
    (tarball,) = glob.glob(copy + "/build/meson-dist/*.tar.gz")
    os.mkdir(TREE)
    run("tar", "-xzf", tarball, "-C", TREE, "--strip-components=1")
    for name in run("git", "ls-files", cwd=copy).splitlines():
        holds(os.path.lexists(os.path.join(TREE, name)), name)
    shutil.rmtree(copy)


@test("the tarball builds a Debian package in which lintian finds no error")
def _(tree):
    need_tree()
    need("dpkg-buildpackage", "dh", "lintian")
    run("dpkg-buildpackage", "-b", "-uc", "-us", cwd=TREE,
        env={"DEB_BUILD_OPTIONS": "noautodbgsym nocheck parallel=2"})
    packages = sorted(os.path.basename(path).split("_")[0] for path in glob.glob(PLACE.name + "/*.deb"))
    equal(packages, ["libtaskwatch-dev", "taskwatch"])
    run("lintian", "--allow-root", "--fail-on", "error,warning", *glob.glob(PLACE.name + "/*.changes"))


@test("the package puts its files in Debian's places, and names no one's preload")
def _(tree):
    need_packages()
    files = set()
    for package in glob.glob(PLACE.name + "/*.deb"):
        listing = run("dpkg-deb", "-c", package)
        files |= {line.split()[5][1:] for line in listing.splitlines() if not line.startswith("d")}
        scripts = run("dpkg-deb", "--info", package)
        for script in ("preinst", "postinst", "prerm", "postrm"):
            holds(script not in scripts.replace("* ", " "), f"{package} has a {script}")
    for name in ("bin/taskwatch", f"lib/{TRIPLET}/libtaskwatch.so", f"lib/{TRIPLET}/taskwatch/trace.so",
                 f"lib/{TRIPLET}/taskwatch/taskwatch-info", f"lib/{TRIPLET}/pkgconfig/taskwatch.pc",
                 "include/taskwatch/taskwatch.h", "include/taskwatch/taskwatch.hpp", "share/man/man1/taskwatch.1.gz",
                 "share/man/man3/taskwatch-watcher.3.gz", "share/bash-completion/completions/taskwatch"):
        holds("/usr/" + name in files, name)
    holds(not any("busy" in name or "ld.so" in name for name in files), files)


def dpkg(*words):
    """A database and a root of its own; what the packages depend on is this machine's."""
    return run("dpkg", "--root=" + ROOT, "--force-depends,not-root", "--log=/dev/null", *words)


@test("installed by dpkg it watches a build, refuses what it is told to, and is removed without a trace")
def _(tree):
    need_packages()
    need("make", "gcc")
    if os.geteuid() != 0:
        raise Skip("dpkg gives the files to root")
    for folder in ("info", "updates", "triggers"):
        os.makedirs(f"{ROOT}/var/lib/dpkg/{folder}")
    open(ROOT + "/var/lib/dpkg/status", "w").close()
    before = found(ROOT)
    dpkg("-i", *glob.glob(PLACE.name + "/*.deb"))

    launcher = ROOT + "/usr/bin/taskwatch"
    names = [line.split()[0] for line in run(launcher, "--list").splitlines()]
    holds({"trace", "limit", "fault"} <= set(names), names)
    run(TREE + "/scripts/demo-tree", PLACE.name + "/demo")
    run(launcher, "--json", "-o", "demo.jsonl", "make", "-s", "-j2", "-C", "demo")
    with open(PLACE.name + "/demo.jsonl", encoding="utf-8") as stream:
        events = [json.loads(line) for line in stream]
    compiled = [e for e in events if e["event"] == "exec" and os.path.basename(e["path"]) == "cc1"]
    equal(len(compiled), 61)
    ended = {e["task"] for e in events if e["event"] == "free"}
    holds({e["task"] for e in compiled} <= ended, "a compiler whose end was not told")
    said = run(launcher, "--inject=fork:error=EAGAIN", "python3", "-c",
               "import os\ntry: os.fork()\nexcept OSError as e: print(e.errno)")
    equal(said.splitlines()[-1], "11")
    hold_a_fork_bomb(launcher)

    dpkg("-P", "taskwatch", "libtaskwatch-dev")
    left = {path for path in found(ROOT) - before if not path.startswith("/var/lib/dpkg/")}
    equal(left, set())


def living(session, name=None):
    """How many processes it has; of this name."""
    count = 0
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="utf-8", errors="replace") as stream:
                before, _, after = stream.read().rpartition(")")
        except OSError:  # it has ended
            continue
        state, _, _, of_session = after.split()[:4]
        count += int(of_session) == session and state not in "ZX" and name in (None, before.partition("(")[2])
    return count


def hold_a_fork_bomb(launcher):
    """The demonstration of scripts/quickstart, shorter. Not started where a budget refuses nothing."""
    refused = subprocess.run([launcher, "-q", "--max-tasks=1", "--", "sh", "-c",
                              'sleep 60 & trap "kill $!" EXIT; /bin/true; :'], stderr=subprocess.DEVNULL, check=False)
    holds(refused.returncode != 0, "--max-tasks refuses nothing, so the bomb is not started")
    most = 0
    with open(PLACE.name + "/bomb", "w+", encoding="utf-8", errors="replace") as log:
        bomb = subprocess.Popen([launcher, "--max-tasks=20", "--", "bash", "-c", "f() { f | f & }; f"], cwd=PLACE.name,
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            begin = time.monotonic()
            # Until it was refused something, and a while longer.
            while most <= 40 and time.monotonic() - begin < (2 if os.path.getsize(log.name) > 1000 else 20):
                most = max(most, living(bomb.pid, "bash"))  # the supervisor is none of the budget's
                time.sleep(0.05)
        finally:
            while living(bomb.pid):
                os.killpg(bomb.pid, signal.SIGKILL)
                time.sleep(0.1)
            bomb.wait()
        log.seek(0)
        said = log.read()
    holds(2 <= most <= 21, f"{most} at once: the bomb's first bash is not counted by the budget")
    holds("fork: retry: Resource temporarily unavailable" in said, said[-1000:])


def found(root):
    return {os.path.join(folder, name)[len(root):] for folder, folders, files in os.walk(root) for name in folders + files}


@test("the tarball's own tests pass with the package's flags")
def _(tree):
    need_tree()
    (build,) = glob.glob(TREE + "/obj-*") or [TREE + "/build"]
    if not os.path.exists(build):
        run("meson", "setup", build)
    run("meson", "configure", build, "-Dtests=true")
    try:
        run("meson", "test", "-C", build, "--suite", "calls", env={"QUICK": "1"})
    except AssertionError as failure:
        raise AssertionError(failed_tests(build) or str(failure)) from None


def failed_tests(build):
    """Which they are, and the end of what each has said."""
    text = []
    with open(build + "/meson-logs/testlog.json", encoding="utf-8") as stream:
        for line in stream:
            one = json.loads(line)
            if one["result"] in ("OK", "SKIP", "EXPECTEDFAIL"):
                continue
            said = (one.get("stdout", "") + one.get("stderr", "")).splitlines()
            text += [f"{one['name']}: {one['result']} after {one['duration']:.1f} s, status {one['returncode']}"]
            text += ["  " + word for word in said[-60:]]
    return "\n".join(text)


if __name__ == "__main__":
    main(os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]))
