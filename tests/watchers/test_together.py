# SPDX-License-Identifier: MIT
"""All watchers at once: on a build with two jobs, and on a threaded server under load. What they tell agrees, and the
programs behave as they do bare."""
import collections
import json
import os
import shutil

from harness import Skip, equal, holds, read, test

NAMES = ("trace", "acct", "privdrop", "stack")


def together(tree, *command, options=(), **more):
    """The run, and each watcher's records."""
    files = {name: os.path.join(tree.work, name + ".jsonl") for name in NAMES}
    options = list(options)
    for watcher in ("trace:format=json,output=" + files["trace"], "limit:tasks=10000", "fault:on=init,when=1000000",
                    "acct:top=0,output=" + files["acct"], "privdrop:output=" + files["privdrop"],
                    "stack:events=init,exec,uid,gid,output=" + files["stack"], "leak", "busy:us=50"):
        options += ["-w", watcher]
    run = tree.run(*options, "--", *command, **more)
    records = {name: [json.loads(line) for line in read(path).splitlines()] if os.path.exists(path) else []
               for name, path in files.items()}
    return run, records


def agree(records):
    """Each process that the trace saw end is accounted for, once; each creation has its stack."""
    ended = collections.Counter(r["task"] for r in records["trace"] if r["event"] == "exit" and r["pid"] == r["tgid"])
    told = collections.Counter(r["task"] for r in records["acct"])
    equal(told, ended)
    equal(set(told.values()), {1})
    made = {r["task"] for r in records["trace"] if r["event"] == "init"}
    walked = {r["task"] for r in records["stack"] if r["of"] == "init"}
    equal(walked, made)
    for record in records["stack"]:
        holds(record["frames"] or record["why"], record)
    freed = collections.Counter(r["task"] for r in records["trace"] if r["event"] == "free")
    equal({task: 1 for task in made}, {task: freed[task] for task in made}, "FREE follows INIT, once")
    equal(records["privdrop"], [])


@test("a build with two jobs is what it is bare, and the watchers agree")
def _(tree):
    if not shutil.which("make") or not shutil.which("gcc"):
        raise Skip("make or gcc is not installed")
    for n in range(8):
        tree.file(f"f{n}.c", f"int f{n}(void) {{ return {n}; }}\n")
    tree.file("main.c", "".join(f"int f{n}(void);\n" for n in range(8)) +
              "int main(void) { return " + "+".join(f"f{n}()" for n in range(8)) + " != 28; }\n")
    tree.file("Makefile", "objects = $(patsubst %.c,%.o,$(wildcard *.c))\nall: p\n\t./p\np: $(objects)\n\tgcc -o $@ $^\n"
              "%.o: %.c\n\tgcc -c $<\nclean:\n\trm -f p $(objects)\n")
    bare = tree.bare("make", "-j2")
    tree.bare("make", "clean")
    run, records = together(tree, "make", "-j2")
    equal((run.returncode, run.stderr, sorted(run.stdout.splitlines())), (0, bare.stderr, sorted(bare.stdout.splitlines())))
    agree(records)
    equal(sum(r["command"] == "cc1" for r in records["acct"]), 9)


@test("a threaded server serves every request, and the watchers agree")
def _(tree):
    server = os.path.join(tree.build, "tests", "watchers", "server")
    bare = tree.bare(server, "4", "4", "50")
    run, records = together(tree, server, "4", "4", "50")
    equal((run.returncode, run.stderr, run.stdout), (0, "", bare.stdout))
    equal(run.stdout, "served 200\n")
    agree(records)
    calls = collections.Counter(r["call"] for r in records["trace"] if r["event"] == "init")
    equal((calls["fork"], calls["posix_spawn"], calls["system"]), (41, 40, 40))


@test("a server that is ended in the middle leaves nobody waiting")
def _(tree):
    server = os.path.join(tree.build, "tests", "watchers", "server")
    run, records = together(tree, "/bin/sh", "-c", f"timeout -s KILL 1 {server} 4 8 100000; echo $?")
    equal((run.returncode, run.stdout), (0, "137\n"), run.stderr)
    for name in ("trace", "acct", "stack"):
        holds(len(records[name]) > 20, name)


@test("a sandboxed worker makes no system call of ours, and ends as it does bare")
def _(tree):
    worker = os.path.join(tree.build, "tests", "watchers", "sandboxed")
    bare = tree.bare(worker)
    equal(bare.returncode, 7, bare.stderr)
    for command in ([worker], ["/bin/sh", "-c", f"{worker}; exit $?"]):
        run, _ = together(tree, *command, options=["-q"])
        equal((run.returncode, run.stdout, run.stderr), (7, bare.stdout, bare.stderr))
