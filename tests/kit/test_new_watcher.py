# SPDX-License-Identifier: MIT
# taskwatch --new-watcher: what it writes is built with the installed headers alone, and works.
import os
import shutil

from harness import Skip, equal, holds, read, test
from installed import Installed

SEE = "; see taskwatch --help"


def create(tree, *words, **options):
    return tree.run(*words, launcher=Installed(tree.build).launcher, **options)


def build(tree, name, source, *words):
    if not shutil.which("meson") or not shutil.which("pkg-config"):
        raise Skip("no meson or no pkg-config")
    place = Installed(tree.build)
    result = create(tree, "--new-watcher", name, *words)
    equal((result.returncode, result.stderr), (0, ""))
    equal(sorted(os.listdir(os.path.join(tree.work, name))), sorted([source, "meson.build", "test.sh"]))
    holds(len(read(os.path.join(tree.work, name, source)).splitlines()) < 60, "the source is too long to begin with")
    folder = os.path.join(tree.work, name)
    for words in (["meson", "setup", "build", "-Dwerror=true"], ["meson", "test", "-C", "build", "--print-errorlogs"]):
        result = tree.bare(*words, cwd=folder, env=place.environment)
        holds(result.returncode == 0, result.stdout + result.stderr)
    return os.path.join(folder, "build", name + ".so"), result


@test("a new watcher in C is built out of tree against the installed headers, passes its test, and can be installed")
def _(tree):
    watcher, _ = build(tree, "mine", "mine.c")
    place = Installed(tree.build)
    result = tree.bare("meson", "install", "-C", os.path.dirname(watcher), env=place.environment)
    equal(result.returncode, 0, result.stderr)
    try:
        said = tree.run("-w", "mine", "true", launcher=place.launcher).stderr
        equal(said, "mine: true\n")
        holds("mine          tells of each program, refuses one\n" in tree.run("--list", launcher=place.launcher).stdout)
    finally:
        os.remove(os.path.join(os.path.dirname(place.environment["PKG_CONFIG_PATH"]), "taskwatch", "mine.so"))


@test("a new watcher in C++ too, and it needs libc alone")
def _(tree):
    watcher, _ = build(tree, "mine-too_2", "mine-too_2.cpp", "--language=c++")
    needed = [line.split("[")[1][:-1] for line in tree.bare("readelf", "-dW", watcher).stdout.splitlines() if "NEEDED" in line]
    equal(needed, ["libc.so.6"])


@test("the new watcher's own test fails when the watcher does not work")
def _(tree):
    watcher, _ = build(tree, "mine", "mine.c")
    folder = os.path.join(tree.work, "mine")
    text = read(folder + "/mine.c")
    for what, instead in (("notifier_from_errno(-EACCES)", "NOTIFY_DONE"), ('tell("mine: ", name);', "")):
        tree.file("mine/mine.c", text.replace(what, instead))
        result = tree.bare("meson", "test", "-C", "build", "at work", cwd=folder)
        holds(result.returncode != 0 and "FAIL" in result.stdout, result.stdout)


@test("from a checkout it says where pkg-config finds this build")
def _(tree):
    os.symlink(os.path.join(tree.source, "tools"), os.path.join(tree.root, "tools"))
    result = tree.run("--new-watcher", "mine", env={"PKG_CONFIG_LIBDIR": "/nowhere"})
    holds(f"PKG_CONFIG_PATH={tree.root}/build/meson-uninstalled meson setup build" in result.stdout, result)
    answer = tree.bare("pkg-config", "--variable=watcherdir", "taskwatch",
                       env={"PKG_CONFIG_PATH": tree.root + "/build/meson-uninstalled"})
    equal(answer.stdout.strip(), os.path.join(tree.build, "watchers"))
    # What it says to do works.
    for words in (["meson", "setup", "build"], ["meson", "test", "-C", "build", "--print-errorlogs"]):
        result = tree.bare(*words, cwd=os.path.join(tree.work, "mine"), env={"PKG_CONFIG_PATH": tree.root + "/build/meson-uninstalled"})
        holds(result.returncode == 0, result.stdout + result.stderr)


@test("a bad name, a name that is taken and a folder that is there are refused, and nothing is written")
def _(tree):
    launcher = Installed(tree.build).launcher
    accepted = "accepted: a letter, then letters, digits, '_' and '-', in lower case, at most 31"
    for wrong in ("Mine", "my watcher", "a/b", "../up", "1st", "-", "ä", "a" * 32, "a\nb"):
        tree.refused("--new-watcher=" + wrong, launcher=launcher,
                     line=f"--new-watcher: '{wrong}' is no name for a watcher; {accepted}")
    tree.refused("--new-watcher=", launcher=launcher, line=f"--new-watcher: '' is no name for a watcher; {accepted}")
    tree.refused("--new-watcher", "trace", launcher=launcher,
                 line="--new-watcher: 'trace' comes with taskwatch; choose another name")
    tree.refused("--new-watcher", "path", launcher=launcher,
                 line="watcher 'path': TASKWATCH_PATH is a variable of the library's own; give the watcher another name")
    tree.refused("--new-watcher", "mine", "--language", "ada", launcher=launcher,
                 line="--new-watcher: language 'ada' is none of c, c++")
    tree.refused("--new-watcher", "mine", "true", launcher=launcher, line="--new-watcher runs no program" + SEE)
    equal(os.listdir(tree.work), [])
    os.mkdir(os.path.join(tree.work, "mine"))
    os.symlink("nowhere", os.path.join(tree.work, "yours"))
    for name in ("mine", "yours"):
        tree.refused("--new-watcher", name, launcher=launcher,
                     line=f"--new-watcher: {tree.work}/{name}: is there already; choose another name or folder")
    tree.refused("--new-watcher", "ours", launcher=launcher, cwd="/proc",
                 line="--new-watcher: /proc/ours: No such file or directory")
