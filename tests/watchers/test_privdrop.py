# SPDX-License-Identifier: MIT
"""privdrop: a daemon that does it right, and one for each rule that it can break."""
import json
import os
import shutil

from harness import Skip, equal, holds, read, test


def need_root():
    if os.geteuid() != 0:
        raise Skip("it changes ids, so it needs root")


def daemon(tree, how, options="", groups=(0, 4), **more):
    """The run and its findings."""
    need_root()
    output = os.path.join(tree.work, "findings.jsonl")
    program = os.path.join(tree.build, "tests", "watchers", "daemon")
    # -q: what it becomes cannot open the library in the test's own folder, and executes a program.
    run = tree.run("-q", "-w", f"privdrop:output={output}{options}", "--", program, how, extra_groups=groups, **more)
    return run, findings(output)


def findings(path):
    return [json.loads(line) for line in read(path).splitlines()] if os.path.exists(path) else []


NOBODY = 65534

# How the daemon gives up root: the rule that it breaks, the call that is named.
BREAKS = {
    "order": ("order", "setresuid"),
    "groups": ("groups", "setresuid"),
    "saved": ("saved", "setresuid"),
    "saved-group": ("saved", "setresuid"),
    "fs": ("fs", "setfsuid"),
    "regain": ("regain", "exit"),
    "regain-exec": ("regain", "execl"),
    "capabilities": ("regain", "fork"),
    "unchecked": ("unchecked", "setuid"),
    "unchecked-exec": ("unchecked", "setuid"),
}


@test("a daemon that gives up root in the right way is not told of, nor are its attempts to take it back")
def _(tree):
    run, told = daemon(tree, "right")
    equal((run.returncode, run.stderr, told), (0, "", []))


@test("one that gives it up for a while and then for good, and one that stops when a call fails, are not told of")
def _(tree):
    for how, status in (("restored", 0), ("checked", 3)):
        run, told = daemon(tree, how)
        equal((run.returncode, run.stderr, told), (status, "", []), how)


for how, (rule, call) in BREAKS.items():
    @test(f"a daemon that breaks one rule is told of that one alone: {how}")
    def _(tree, how=how, rule=rule, call=call):
        run, told = daemon(tree, how)
        equal((run.returncode, run.stderr), (0, ""))
        equal([(f["rule"], f["call"]) for f in told], [(rule, call)], told)
        finding = told[0]
        equal(finding["command"], "daemon")
        holds(finding["task"] == 1 and finding["pid"] > 0 and finding["why"], finding)
        equal([len(finding["uid"]), len(finding["gid"])], [4, 4])


@test("a finding names the ids as they are")
def _(tree):
    _, told = daemon(tree, "order")
    equal((told[0]["uid"], told[0]["gid"]), ([NOBODY] * 4, [0] * 4))
    os.unlink(os.path.join(tree.work, "findings.jsonl"))
    _, told = daemon(tree, "regain")
    equal((told[0]["uid"], told[0]["gid"]), ([0, NOBODY, 0, NOBODY], [NOBODY] * 4))


@test("what failed and what followed is named")
def _(tree):
    _, told = daemon(tree, "unchecked")
    equal(told[0]["why"], "it failed with EPERM, and the process went on to fork")


@test("a killed one is told of by its parent")
def _(tree):
    need_root()
    output = os.path.join(tree.work, "findings.jsonl")
    program = os.path.join(tree.build, "tests", "watchers", "daemon")
    tree.run("-w", f"privdrop:output={output}", "--", "/bin/sh", "-c", f"{program} regain-killed; :")
    told = findings(output)
    equal([(f["rule"], f["uid"], f["gid"]) for f in told], [("regain", [0, NOBODY, 0, NOBODY], None)])


@test("supplementary groups that are not root's are told of if the session began with them")
def _(tree):
    _, told = daemon(tree, "groups", groups=(4, 24))
    equal([(f["rule"], f["why"]) for f in told],
          [("groups", "its supplementary groups are still those that the session began with")])
    os.unlink(os.path.join(tree.work, "findings.jsonl"))
    _, told = daemon(tree, "groups", groups=())
    equal(told, [])


@test("text is a line for people, on the session's standard error")
def _(tree):
    need_root()
    run = tree.run("-q", "-w", "privdrop", "--", os.path.join(tree.build, "tests", "watchers", "daemon"), "saved")
    pid = run.stderr.split("pid ")[1].split(",")[0]
    equal(run.stderr, f"privdrop: saved: setresuid() by task 1 (pid {pid}, daemon), uid 65534,65534,0,65534 "
          "gid 65534,65534,65534,65534: its saved user id is still 0\n")


@test("fail=1: the launcher exits with 88 after a finding, and with the program's status without one")
def _(tree):
    for how, status in (("saved", 88), ("right", 0)):
        run, told = daemon(tree, how, ",fail=1")
        equal((run.returncode, bool(told)), (status, status == 88), run.stderr)
        if told:
            os.unlink(os.path.join(tree.work, "findings.jsonl"))
    run, _ = daemon(tree, "saved", ",fail=0")
    equal(run.returncode, 0)


@test("rules= looks at those alone")
def _(tree):
    _, told = daemon(tree, "order", ",rules=groups,saved")
    equal(told, [])
    _, told = daemon(tree, "order", ",rules=order")
    equal([f["rule"] for f in told], ["order"])


@test("setpriv and chroot do it right, python's os.setuid alone does not")
def _(tree):
    need_root()
    output = os.path.join(tree.work, "findings.jsonl")
    os.chmod(os.path.dirname(tree.work), 0o755)  # nobody has to find the library
    for words in (["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/bin/true"],
                  ["chroot", "--userspec=65534:65534", "--groups=65534", "/", "/bin/true"]):
        if not shutil.which(words[0]):
            raise Skip(f"{words[0]} is not installed")
        run = tree.run("-w", f"privdrop:output={output}", "--", *words)
        equal((run.returncode, findings(output)), (0, []), run.stderr)
    script = "import os; os.setuid(65534); os.system(':')"
    tree.run("-w", f"privdrop:output={output}", "--", "/usr/bin/python3", "-c", script)
    holds("order" in [f["rule"] for f in findings(output)], findings(output))
