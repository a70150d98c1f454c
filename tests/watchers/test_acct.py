# SPDX-License-Identifier: MIT
"""acct: the figures beside those of time(1) and wait4(2), and the table."""
import json
import os
import re
import shutil

from harness import Skip, equal, holds, read, test


def usage(tree):
    return os.path.join(tree.build, "tests", "watchers", "usage")


def acct(tree, *command, options="", **more):
    """The run and the records."""
    output = os.path.join(tree.work, "acct.jsonl")
    run = tree.run("-w", f"acct:output={output}{options}", "--", *command, **more)
    return run, [json.loads(line) for line in read(output).splitlines()]


def one(records, **wanted):
    found = [r for r in records if all(r[key] == value for key, value in wanted.items())]
    equal(len(found), 1, "\n".join(map(str, records)))
    return found[0]


def near(seen, expected, what):
    holds(abs(seen - expected) <= 0.05 * expected, f"{what}: {seen}, not within 5 % of {expected}")


def time_v(tree, *command):
    """What time(1) says of a program that acct watches too."""
    if not os.access("/usr/bin/time", os.X_OK):
        raise Skip("/usr/bin/time is not installed")
    out = os.path.join(tree.work, "time")
    run, records = acct(tree, "/usr/bin/time", "-v", "-o", out, *command)
    equal(run.returncode, 0, run.stderr)
    return dict(re.findall(r"^\t(.*?)(?: \([\w ]+\))?: (.*)$", read(out), re.M)), one(records, command="usage")


@test("the time of a program that uses the CPU for 2 s is time(1)'s within 5 %")
def _(tree):
    said, record = time_v(tree, usage(tree), "burn", "2000")
    near(record["user"] / 1e9, float(said["User time"]), "user")
    near((record["user"] + record["system"]) / 1e9, float(said["User time"]) + float(said["System time"]), "cpu")


@test("the peak memory and the faults of a program that touches 200 MiB are time(1)'s within 5 %")
def _(tree):
    said, record = time_v(tree, usage(tree), "touch", "200")
    near(record["maxrss"], int(said["Maximum resident set size"]), "maxrss")
    near(record["minflt"], int(said["Minor"] if "Minor" in said else said["Minor (reclaiming a frame) page faults"]), "minflt")
    holds(record["maxrss"] > 200 * 1024, record)


@test("short children: killed ones have wait4's usage to the last figure, others what they had used when they ended")
def _(tree):
    run, records = acct(tree, usage(tree), "children")
    keys = ("user", "system", "maxrss", "minflt", "majflt", "nvcsw", "nivcsw")
    lines = [list(map(int, line.split())) for line in run.stdout.splitlines()]
    equal(len(lines), 5)
    killed = 0
    for pid, status, *figures in lines:
        record = one(records, pid=pid)
        equal(record["status"], status)
        seen = [record["user"] // 1000, record["system"] // 1000] + [record[key] for key in keys[2:]]
        if record.get("on_behalf"):
            killed += 1
            equal(seen, figures)
            continue
        for key, mine, final in zip(keys, seen, figures):
            # What follows a process's last word: its teardown.
            slack = {"user": 3000, "system": 3000, "minflt": 40, "maxrss": 200}.get(key, 3)
            holds(mine <= final + (1000 if key in ("user", "system") else 0) and final - mine <= slack,
                  f"{key}: {mine}, wait4 {final}")
        holds(abs(seen[0] + seen[1] - figures[0] - figures[1]) <= 3000, f"{seen} {figures}")
    equal(killed, 3)


@test("each wait function tells the usage of a killed child")
def _(tree):
    run, records = acct(tree, usage(tree), "waits")
    waits = dict(line.split() for line in run.stdout.splitlines())
    equal(len(waits), 7)
    known = {name: one(records, pid=int(pid))["minflt"] is not None for name, pid in waits.items()}
    equal([name for name in waits if not known[name]], [])


@test("bytes are a process's own, not its children's")
def _(tree):
    run, records = acct(tree, "/bin/sh", "-c", "dd if=/dev/zero of=f bs=1000 count=300 2>/dev/null; :")
    equal(run.returncode, 0)
    dd, shell = one(records, command="dd"), one(records, command="sh")
    holds(300000 <= dd["rchar"] < 400000 and 300000 <= dd["wchar"] < 400000, dd)
    holds(shell["rchar"] < 200000 and shell["wchar"] < 10000, shell)


@test("a process that is killed is told by its parent's wait, by its name and with its usage")
def _(tree):
    _, records = acct(tree, "/bin/sh", "-c", 'sh -c "kill -9 \\$\\$"; :')
    record = one(records, signal=9)
    equal(record["command"], "sh")
    equal(record["on_behalf"], True)
    equal(record["rchar"], None)
    holds(record["minflt"] > 0, record)


@test("a statically linked program is told by its parent's wait, by its name and with its usage")
def _(tree):
    program = tree.compile("alone", "int main(void) { return 7; }", "-static")
    _, records = acct(tree, "/bin/sh", "-c", f"{program}; :")
    record = one(records, command="alone")
    equal([record["exit_code"], record["execed"], record.get("on_behalf")], [7, True, True])
    holds(record["minflt"] > 0, record)


@test("a process is told once, whichever thread ends it")
def _(tree):
    for how, status in (("main-leaves", 5), ("main-leaves-return", 0), ("thread-exits", 6)):
        run, records = acct(tree, usage(tree), how)
        equal(run.returncode, status, how)
        record = one(records, command="usage")
        equal([record["exit_code"], record["pid"], record["task"], record["execed"]], [status, record["tgid"], 1, True], how)
        equal(table(run)[0]["total"]["forks"], 0)
        holds(record["minflt"] > 0 and record["rchar"] > 0 and record["wall"] > 0, record)
        os.unlink(os.path.join(tree.work, "acct.jsonl"))


@test("a thread's exec goes on as the same process")
def _(tree):
    _, records = acct(tree, usage(tree), "thread-execs", "/bin/true")
    equal([r["command"] for r in records], ["true"])


def table(run):
    """Rows by program and the sentence below."""
    return table_of(run.stderr)


def table_of(text):
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("------"))
    rows = {}
    for line in lines[start + 1:-1]:
        words = line.split(None, 7)
        rows[words[7]] = dict(zip(("share", "cpu", "wall", "maxrss", "processes", "forks", "failed"), map(float, words)))
    return rows, lines[-1]


@test("the table sums up by program, the dearest first, and shares are of the whole")
def _(tree):
    run, records = acct(tree, "/bin/sh", "-c", f"{usage(tree)} burn 300; for i in 1 2 3; do ls >/dev/null; done")
    rows, _ = table(run)
    equal(list(rows)[0], "usage")
    equal(rows["ls"]["processes"], 3)
    equal(rows["total"]["processes"], len(records))
    equal(rows["total"]["share"], 100)
    holds(rows["usage"]["share"] > 50 and rows["usage"]["cpu"] >= 0.3, rows)
    holds(abs(sum(row["share"] for row in rows.values()) - 200) < 1, rows)
    spent = sum(r["user"] + r["system"] for r in records if r["command"] == "ls") / 1e9
    holds(abs(rows["ls"]["cpu"] - spent) < 0.001, f"{rows['ls']} {spent}")


@test("forks that never exec'd and execs that failed are counted")
def _(tree):
    run, records = acct(tree, "/bin/sh", "-c", f"(:) & (:) & wait; {usage(tree)} exec; :")
    rows, sentence = table(run)
    equal([rows["sh"]["forks"], rows["usage"]["failed"]], [2, 4])
    equal(sentence, "2 forks never exec'd; 4 execs failed, 3 of them with ENOENT (a search of PATH)")
    equal(sorted(r["execed"] for r in records), [False, False, True, True])


@test("top=1 leaves one line and the rest; top=0 leaves no table")
def _(tree):
    run, _ = acct(tree, "/bin/sh", "-c", f"{usage(tree)} burn 100; ls >/dev/null; true", options=",top=1")
    equal(list(table(run)[0]), ["usage", "(the rest)", "total"])
    run, _ = acct(tree, "/bin/true", options=",top=0")
    equal(run.stderr, "")


@test("nothing is lost when two hundred processes end at once")
def _(tree):
    run, records = acct(tree, usage(tree), "many", "200", "/bin/true")
    rows, _ = table(run)
    equal(rows["true"]["processes"], 200)
    equal(sum(r["command"] == "true" for r in records), 200)


def killed_at_the_end(tree, *options):
    """The records, and what was written on standard error, a file: of a pipe the supervisor lets go."""
    output, said = os.path.join(tree.work, "acct.jsonl"), os.path.join(tree.work, "said")
    run = tree.bare("/bin/sh", "-c", f'exec "$@" 2>{said}', "sh", tree.launcher, *options, "-w", f"acct:output={output}",
                    "--", "/bin/sh", "-c", "ls >/dev/null; kill -9 $$")
    equal(run.returncode, -9)
    return read(said), [json.loads(line) for line in read(output).splitlines()]


@test("when the last process is killed the supervisor tells its end, and prints the table")
def _(tree):
    said, records = killed_at_the_end(tree)
    equal([(r["command"], r["signal"], r.get("on_behalf")) for r in records], [("ls", 0, None), ("sh", 9, True)])
    holds(records[1]["minflt"] > 0 and records[1]["rchar"] is None, records[1])
    rows, _ = table_of(said)
    equal([rows["sh"]["processes"], rows["ls"]["processes"], rows["total"]["processes"]], [1, 1, 2])


@test("without a supervisor the records of the others are there, and no table, nor a usage of nobody's invention")
def _(tree):
    said, records = killed_at_the_end(tree, "--no-supervise")
    equal(([r["command"] for r in records], said), (["ls"], ""))


@test("make's table has the compiler first")
def _(tree):
    if not shutil.which("make") or not shutil.which("gcc"):
        raise Skip("make or gcc is not installed")
    for n in range(4):
        tree.file(f"f{n}.c", f"#include <stdio.h>\n#include <stdlib.h>\nint f{n}(void) {{ return printf(\"x\"); }}\n")
    tree.file("Makefile", "all: f0.o f1.o f2.o f3.o\n%.o: %.c\n\tgcc -O2 -c $<\n")
    run, _ = acct(tree, "make", "-s", "-j2")
    equal(run.returncode, 0, run.stderr)
    rows, _ = table(run)
    equal([list(rows)[0], rows["cc1"]["processes"], rows["as"]["processes"]], ["cc1", 4, 4])
