# SPDX-License-Identifier: MIT
# taskwatch --check: watchers that are wrong in one way each, watchers that are right, and the library's own.
import os
import re

from harness import Skip, equal, holds, test
from installed import Installed

SEE = "; see taskwatch --help"
EVERYWHERE = "in every context"
REASON = "it may have interrupted the same function and waits for itself"


def check(tree, path, options="", **more):
    """Exit status, and the report's lines as (what, text); the first is ("", heading)."""
    result = tree.run("--check", path + options, launcher=Installed(tree.build).launcher, **more)
    equal(result.stderr, "")
    lines = [re.fullmatch(r"(?:  (\w+) +)?(.*)", line).groups() for line in result.stdout.splitlines()]
    return result.returncode, [(what or "", text) for what, text in lines]


def plugin(tree, name, *options):
    return check(tree, os.path.join(tree.build, "tests", "plugins", name + ".so"), *options)


def told(lines, kind):
    return [text for what, text in lines if what == kind]


def one_problem(tree, name, pattern):
    status, lines = plugin(tree, name)
    problems = told(lines, "problem")
    equal((status, len(problems), lines[-1]), (1, 1, ("", "1 problem was found")), lines)
    holds(re.search(pattern, problems[0]), f"{name}: {problems[0]}\n  expected: {pattern}")


@test("check: a careful watcher is given each event in each context, and nothing is wrong with it")
def _(tree):
    status, lines = plugin(tree, "careful")
    walks = told(lines, "callbacks")[0]
    equal(lines, [
        ("", "careful: a plug-in of the tests"),
        ("interface", "version 1, 56 bytes"),
        ("events", "INIT, CLONE, EXEC, UID, GID, EXIT, FREE"),
        ("callbacks", walks),
        ("stack", "at most 512 bytes"),
        ("needs", "libc.so.6 alone"),
        ("note", "bound lazily: the first call of a function runs the dynamic linker inside a callback; link with -Wl,-z,now"),
        ("", "no problem was found"),
    ])
    holds(re.fullmatch(r"1\d\d events, in the main thread, a thread, a vfork child, a signal handler, "
                       "a thread with the smallest stack", walks), walks)
    equal(status, 0)


@test("check: memory, stdio, locks and the like in a callback, by function, event and context")
def _(tree):
    one_problem(tree, "allocates", rf"^allocates memory in a callback: malloc \(at EXEC, in the main thread\); {REASON}: ")
    one_problem(tree, "allocates_in_vfork",
                r"^allocates memory in a callback: malloc \(at CLONE, .*EXIT, FREE, in a vfork child\); ")
    one_problem(tree, "reads_variables", r"^calls what may lock or allocate in a callback: getenv \(at FREE, ")
    one_problem(tree, "locks", r"^takes a lock in a callback: pthread_mutex_lock \(at INIT, in the main thread, a thread, "
                r"a signal handler, a thread with the smallest stack\)")
    status, lines = plugin(tree, "prints")
    equal([text.split(";")[0] for text in told(lines, "problem")],
          [f"allocates memory in a callback: malloc (at EXIT, {EVERYWHERE})",
           f"uses stdio in a callback: printf (at EXIT, {EVERYWHERE})"])
    equal((status, lines[-1]), (1, ("", "2 problems were found")))


@test("check: what ends or holds the program, and where")
def _(tree):
    one_problem(tree, "crashes", r"^ends the program by signal 4 \(Illegal instruction\) \(at CLONE, in the main thread, "
                "a vfork child, a signal handler")
    one_problem(tree, "crashes_in_child", rf"^ends the program by signal 6 \(Aborted\) \(at EXIT, {EVERYWHERE}\)$")
    status, lines = plugin(tree, "exits")
    equal((status, told(lines, "problem")), (1, ["ends a child of the program (at GID, in a vfork child)",
                                                 f"ends the program with status 9 (at GID, {EVERYWHERE})"]))
    one_problem(tree, "exits_in_vfork", r"^ends a child of the program \(at EXIT, in a vfork child\)$")
    one_problem(tree, "hangs", r"^has not returned after 10 s: .* \(at UID, in the main thread, a thread, a vfork child, ")
    one_problem(tree, "overflows_stack", r"^ends the program by signal 11 \(Segmentation fault\) \(at GID, "
                r"in a thread with the smallest stack\)$")


@test("check: a STOP where it means nothing, and an answer that is none; one that means something is right")
def _(tree):
    one_problem(tree, "stops_exit", rf"^returns STOP at EXIT, {EVERYWHERE}, where it changes nothing; ")
    one_problem(tree, "stops_exec_late", r"^returns STOP at EXEC, in the main thread, where it changes nothing; ")
    one_problem(tree, "stop_from_free", rf"^returns STOP at FREE, {EVERYWHERE}, ")
    one_problem(tree, "positive_errno", r"^returns 11 at INIT, .*, which means 'go on'; a refusal is "
                r"notifier_from_errno\(-EAGAIN\)$")
    one_problem(tree, "observer_stops", r"^returns STOP at INIT, in the main thread, a thread, a signal handler, .*, where it "
                r"changes nothing; nothing that an observer answers does: take another priority to refuse$")
    status, lines = plugin(tree, "stops_init")
    equal((status, told(lines, "problem")), (0, []))
    holds(any(note.startswith("some did not come, because calls were refused") for note in told(lines, "note")), lines)


@test("check: a descriptor that is kept, stack that is used")
def _(tree):
    one_problem(tree, "keeps_descriptor", r"^keeps a descriptor with a low number open \(in the main thread, a thread, ")
    one_problem(tree, "uses_much_stack", r"^uses 50\d\d bytes of stack in a callback")


@test("check: what it needs, with the time that adds to each exec; how it is linked")
def _(tree):
    status, lines = plugin(tree, "needs_more")
    equal((status, told(lines, "needs")), (0, ["libstdc++.so.6, libc.so.6"]))
    times = [re.fullmatch(r"libstdc\+\+\.so\.6: (\d+) us more at each exec of each program \(/bin/true: (\d+) us without, "
                          r"(\d+) us with\)", note) for note in told(lines, "note")]
    more, without, with_it = map(int, next(filter(None, times)).groups())
    holds(0 < without < with_it and abs(with_it - without - more) <= 1, (more, without, with_it))
    one_problem(tree, "executable_stack", r"^makes the stack of every program executable")


@test("check: what the library would not load, with the library's reason")
def _(tree):
    for name, reason in (("wrong_version", "made for version 2 of the watcher interface"), ("short", "is short"),
                         ("nothing", "no descriptor, and its constructor registered nothing"),
                         ("bad_name", "name"), ("undefined", "undefined symbol: no_such_function"),
                         ("refuses", "width=7 is out of range; a width is 1 to 5")):
        status, lines = plugin(tree, name)
        problems = told(lines, "problem")
        equal((status, len(problems)), (1, 1), lines)
        holds(problems[0].startswith("is not loaded: ") and (reason in problems[0] or name == "short"), problems)


@test("check: a watcher of 2006's kind, which registers itself")
def _(tree):
    status, lines = check(tree, os.path.join(tree.build, "watchers", "examples", "process_events.so"))
    equal((status, told(lines, "interface")), (0, ["registers itself, as in 2006: no descriptor, so no options, name or init"]))


# What is wrong with one of the library's own and not its to change: the beginning of the finding. libunwind guards its memory
# with a mutex, signals blocked.
KNOWN = {"stack": ("takes a lock in a callback: pthread_mutex_lock (",)}


@test("check: the library's own watchers and the examples pass")
def _(tree):
    options = {"limit": ":tasks=1000", "fault": ":on=init,call=clone,error=EAGAIN", "busy": ":us=50"}
    folders = [os.path.join(tree.build, "watchers"), os.path.join(tree.build, "watchers", "examples")]
    files = [os.path.join(folder, name) for folder in folders for name in sorted(os.listdir(folder)) if name.endswith(".so")]
    holds(len(files) >= 7, files)
    for file in files:
        name = os.path.basename(file)[:-3]
        status, lines = check(tree, file, options.get(name, ""))
        problems = [text for text in told(lines, "problem") if not text.startswith(KNOWN.get(name, ("\0",)))]
        equal(problems, [], file)
        holds(name in KNOWN or status == 0, file)
        if "/examples/" not in file and name not in KNOWN:
            equal([note for note in told(lines, "note") if not note.startswith("some did not come")], [], file)


@test("check: neither the caller's variables nor its own files are left or used")
def _(tree):
    os.mkdir(os.path.join(tree.work, "tmp"))
    path = os.path.join(tree.build, "tests", "plugins", "careful.so")
    status, _ = check(tree, path, env={"TASKWATCH_DISABLE": "1", "TASKWATCH_WATCHERS": "nosuch", "TMPDIR": tree.work + "/tmp"})
    equal((status, os.listdir(os.path.join(tree.work, "tmp"))), (0, []))


@test("check: sessions that a watcher ended leave no memory behind")
def _(tree):
    if os.geteuid() != 0:
        raise Skip("needs root for a namespace of its own")
    path = os.path.join(tree.build, "tests", "plugins", "crashes.so")
    result = tree.bare("unshare", "--ipc", "sh", "-c", '"$0" --check "$1"; tail -n +2 /proc/sysvipc/shm',
                       Installed(tree.build).launcher, path)
    equal((result.stdout.splitlines()[-1], result.stderr), ("1 problem was found", ""))


@test("check: what is no watcher's path is refused")
def _(tree):
    launcher = Installed(tree.build).launcher
    tree.refused("--check", "trace", launcher=launcher, line="--check 'trace' is no path of a watcher, NAME.so" + SEE)
    tree.refused("--check=gone.so", launcher=launcher, line=f"--check: {tree.work}/gone.so: No such file or directory")
    tree.file("text.so", "no ELF file\n")
    tree.refused("--check=text.so", launcher=launcher, line=f"--check: {tree.work}/text.so: not a shared object")
    tree.refused("--check=text.so", "true", launcher=launcher, line="--check runs no program" + SEE)
