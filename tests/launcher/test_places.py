# SPDX-License-Identifier: MIT
# Where the launcher finds the library and the watchers: checkout, installed tree, links, bad folders.
import os
import shutil

from harness import equal, holds, test

TRIPLET = os.uname().machine + "-linux-gnu"


def install(tree, prefix, libdir):
    """The files of `meson install`, as far as the launcher looks at them."""
    os.makedirs(os.path.join(prefix, "bin"))
    shutil.copy(tree.launcher, os.path.join(prefix, "bin", "taskwatch"))
    watchers = os.path.join(prefix, libdir, "taskwatch")
    os.makedirs(watchers)
    os.symlink(os.path.join(tree.build, "shim", "libtaskwatch.so"), os.path.join(prefix, libdir, "libtaskwatch.so"))
    for name in os.listdir(os.path.join(tree.build, "watchers")):
        if name.endswith(".so"):
            os.symlink(os.path.join(tree.build, "watchers", name), os.path.join(watchers, name))
    for name in ("taskwatch-info", "taskwatch-supervise"):
        os.symlink(os.path.join(tree.build, "tools", name), os.path.join(watchers, name))
    return os.path.join(prefix, "bin", "taskwatch")


@test("installed: the library is found beside the launcher, the watchers beside the library")
def _(tree):
    for number, libdir in enumerate((f"lib/{TRIPLET}", "lib64", "lib")):
        prefix = os.path.join(tree.work, str(number))
        launcher = install(tree, prefix, libdir)
        seen = tree.variables(launcher=launcher)
        equal(seen, {"LD_PRELOAD": f"{prefix}/{libdir}/libtaskwatch.so", "TASKWATCH_WATCHERS": "trace"})
        holds("trace " in tree.run("--list", launcher=launcher).stdout)


@test("installed: this machine's library, though another's folder comes first")
def _(tree):
    launcher = install(tree, tree.work + "/usr", f"lib/{TRIPLET}")
    other = tree.work + "/usr/lib/aarch64-linux-gnu"
    os.mkdir(other)
    open(other + "/libtaskwatch.so", "w").close()
    equal(tree.variables(launcher=launcher)["LD_PRELOAD"], f"{tree.work}/usr/lib/{TRIPLET}/libtaskwatch.so")


@test("a link to the launcher finds what the launcher finds")
def _(tree):
    link = os.path.join(tree.work, "tw")
    os.symlink(tree.launcher, link)
    equal(tree.variables(launcher=link)["LD_PRELOAD"], tree.library)


@test("found by PATH, from another folder")
def _(tree):
    path = os.path.dirname(tree.launcher) + ":" + tree.environment["PATH"]
    result = tree.bare("sh", "-c", "taskwatch -n true", env={"PATH": path}, cwd="/")
    holds("LD_PRELOAD=" + tree.library + " " in result.stdout, result)


@test("a library that cannot be preloaded, or is not there: one line, status 125")
def _(tree):
    for folder in ("with space", "with:colon"):
        prefix = os.path.join(tree.work, folder)
        launcher = install(tree, prefix, "lib")
        tree.refused("true", launcher=launcher, line=f"{prefix}/lib/libtaskwatch.so: cannot be preloaded, LD_PRELOAD "
                     "separates names by ':' and space; move it to a folder without them")
    prefix = os.path.join(tree.work, "long" * 60)
    launcher = install(tree, prefix, "lib")
    tree.refused("true", launcher=launcher, line=f"{prefix}/lib/libtaskwatch.so: cannot be preloaded, ld.so ignores "
                 "names of more than 254 bytes")
    launcher = install(tree, tree.work + "/gone", "lib")
    os.remove(tree.work + "/gone/lib/libtaskwatch.so")
    tree.refused("true", launcher=launcher, line=f"libtaskwatch.so: not found under {tree.work}/gone/lib; "
                 f"install it beside {launcher}")
    os.remove(tree.root + "/build")
    tree.refused("true", line=tree.library + ": not built yet; run scripts/build")
    tree.refused("--list", line=tree.library + ": not built yet; run scripts/build")
    equal(tree.run("--help").returncode, 0)


@test("TASKWATCH_PATH is kept, relative folders in it are made absolute")
def _(tree):
    seen = tree.variables(env={"TASKWATCH_PATH": "mine::/other/place"})
    equal(seen["TASKWATCH_PATH"], f"{tree.work}/mine:/other/place")
