# SPDX-License-Identifier: MIT
"""stack: known call chains, in every context that may call."""
import collections
import json
import os
import re
import shutil
import subprocess

from harness import Skip, equal, holds, read, test


def program(tree, name):
    return os.path.join(tree.build, "tests", "watchers", name)


def stacks(tree, *command, options="", status=0, **more):
    """The records of a run, in which nothing but they and the program is."""
    output = os.path.join(tree.work, "stack.jsonl")
    if os.path.exists(output):
        os.unlink(output)
    run = tree.run("-w", f"stack:output={output}{options}", "--", *command, **more)
    equal((run.returncode, run.stderr), (status, ""))
    return [json.loads(line) for line in read(output).splitlines()]


def named(tree, *options):
    run = tree.bare(os.path.join(tree.build, "tools", "taskwatch-symbolize"), *options,
                    os.path.join(tree.work, "stack.jsonl"))
    equal((run.returncode, run.stderr), (0, ""))
    return run.stdout


def functions(tree):
    """Names of each stack, the innermost first, as the tool finds them."""
    return [[frame.get("function") for frame in json.loads(line)["frames"] or []] for line in named(tree).splitlines()]


CHAIN = ["inner", "middle", "outer", "main"]


def without_helper(names):
    """fork_once may be inlined."""
    return [name for name in names if name != "fork_once"]


@test("the chain of a C program is told, from the caller of fork to main, with files and lines")
def _(tree):
    records = stacks(tree, program(tree, "chain"))
    equal([(r["event"], r["of"], r["call"], r["task"]) for r in records], [("stack", "init", "fork", 2)])
    equal(without_helper(functions(tree)[0])[:4], CHAIN)
    frame = next(f for f in json.loads(named(tree))["frames"] if f["function"] == "outer")
    source = read(os.path.join(tree.source, "tests", "watchers", "programs", "chain.c")).splitlines()
    equal((os.path.basename(frame["file"]), source[frame["line"] - 1].strip()), ("chain.c", "return middle(n) + 3;"))


@test("records have the module, the offset in it, and its build id")
def _(tree):
    record = stacks(tree, program(tree, "chain"))[0]
    path = program(tree, "chain")
    main_module, = [m for m in record["modules"] if m["path"] == path]
    notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    equal(main_module["build_id"], re.search(r"Build ID: (\w+)", notes).group(1))
    symbols = subprocess.run(["nm", "-S", path], capture_output=True, text=True, check=True).stdout
    start, size = re.search(r"^(\w+) (\w+) \w outer$", symbols, re.M).groups()
    offsets = [int(f["offset"], 16) for f in record["frames"] if record["modules"][f["module"]]["path"] == path]
    holds(any(int(start, 16) < o <= int(start, 16) + int(size, 16) for o in offsets), offsets)


@test("vfork and posix_spawn are told with the parent's stack, and nothing is walked in their children")
def _(tree):
    for how in ("vfork", "spawn"):
        records = stacks(tree, program(tree, "chain"), how, options=",events=init,clone,exec")
        by_event = {r["of"]: r for r in records}
        equal(without_helper(functions(tree)[[r["of"] for r in records].index("init")])[:4], CHAIN, how)
        equal([by_event["clone"]["frames"], by_event["clone"]["why"]], [None, "in a child on its parent's memory"])
        if how == "vfork":
            equal(by_event["exec"]["frames"], None)


@test("exec is told at its call site, uid at its call")
def _(tree):
    records = stacks(tree, program(tree, "chain"), "exec", options=",events=exec")
    equal([(r["of"], r["call"]) for r in records], [("exec", "execv")])
    equal(functions(tree)[0][:4], CHAIN)
    records = stacks(tree, program(tree, "chain"), "setuid", options=",events=uid,gid,init")
    equal([(r["of"], r["call"]) for r in records], [("uid", "setuid")])
    equal(functions(tree)[0][:4], CHAIN)


@test("C++: methods, templates, lambdas, and destructors while an exception is on its way")
def _(tree):
    stacks(tree, program(tree, "chain_classes"))
    first, second = functions(tree)
    equal(first[0], "workshop::Smith::forge(int)")
    holds(any(name and name.startswith("int workshop::employ<") for name in first), first)
    equal(first.count("main"), 1)
    holds("workshop::fail()" in second and "main" in second, second)


@test("without frame pointers, optimised as far as it goes")
def _(tree):
    source = read(os.path.join(tree.source, "tests", "watchers", "programs", "chain.c"))
    built = tree.compile("omit", source, "-O3", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-g", "-Wl,--build-id")
    stacks(tree, built)
    equal(without_helper(functions(tree)[0])[:4], CHAIN)


@test("a stripped program has modules and offsets, and its names from a copy that is not")
def _(tree):
    stripped = os.path.join(tree.work, "stripped")
    subprocess.run(["strip", "-o", stripped, program(tree, "chain")], check=True)
    record = stacks(tree, stripped)[0]
    equal([name for name in functions(tree)[0] if name in CHAIN], [])
    holds(sum(record["modules"][f["module"]]["path"] == stripped for f in record["frames"]) >= 4, record)
    shutil.copy(program(tree, "chain"), stripped)
    equal(without_helper(functions(tree)[0])[:4], CHAIN)


@test("a file that is another one now gives no names, and that is said")
def _(tree):
    source = read(os.path.join(tree.source, "tests", "watchers", "programs", "chain.c"))
    built = tree.compile("changed", source, "-Wl,--build-id")
    stacks(tree, built)
    tree.compile("changed", source + "int more;", "-Wl,--build-id")
    run = tree.bare(os.path.join(tree.build, "tools", "taskwatch-symbolize"), os.path.join(tree.work, "stack.jsonl"))
    holds("changed: it is another one than was recorded: build id " in run.stderr, run.stderr)
    holds('"inner"' not in run.stdout, run.stdout)


@test("a thread with the smallest stack there may be")
def _(tree):
    stacks(tree, program(tree, "chain"), "thread", options=",events=init,exit")
    names = [without_helper(names)[:4] for names in functions(tree)]
    holds(["inner", "middle", "outer", "in_thread"] in names, names)


@test("through a signal handler into what it interrupted")
def _(tree):
    record = stacks(tree, program(tree, "chain"), "handler")[0]
    names = without_helper(functions(tree)[0])
    equal(names[:4], ["inner", "middle", "outer", "handler"])
    holds("interrupted" in names and "main" in names, names)
    holds(any(f.get("interrupted") for f in record["frames"]), record)


@test("more frames than depth= are cut, and that is said")
def _(tree):
    record = stacks(tree, program(tree, "chain"), "deep")[0]
    equal([len(record["frames"]), record["truncated"]], [64, ["frames"]])
    record = stacks(tree, program(tree, "chain"), "deep", options=",depth=256")[0]
    holds(len(record["frames"]) > 100 and "truncated" not in record, record)
    equal(functions(tree)[0].count("deep"), 101)


@test("a pipe gets no more than it keeps together, the innermost frames")
def _(tree):
    run = tree.run("-w", "stack:output=-,depth=256", "--", program(tree, "chain"), "deep")
    record = json.loads(run.stdout)
    holds(len(run.stdout) <= 4096 and len(record["frames"]) > 20, len(run.stdout))
    equal(record["truncated"], ["frames"])


@test("code without unwind tables, or made at run time, ends a walk and not the program")
def _(tree):
    for how in ("no-tables", "run-time"):
        stacks(tree, program(tree, "chain"), how)
        equal(without_helper(functions(tree)[0])[:3], CHAIN[:3], how)


@test("while another thread holds the dynamic linker's lock")
def _(tree):
    calls = [r["call"] for r in stacks(tree, program(tree, "chain"), "loader")]
    names = without_helper(functions(tree)[calls.index("fork")])
    equal(names[:5], ["inner", "middle", "outer", "while_another_iterates", "main"])


@test("in the constructor of a library that is being opened")
def _(tree):
    record = stacks(tree, program(tree, "chain"), "load", program(tree, "chain_plugin.so"))[0]
    equal(functions(tree)[0][0], "forks_when_opened")
    holds(functions(tree)[0][-2:] != [None, None], record)


@test("eight threads that fork at once, and their children, neither hang nor lose a stack without a reason")
def _(tree):
    records = stacks(tree, program(tree, "chain"), "many", "8")
    forks = [r for r in records if r["call"] == "fork"]
    equal(len(forks), 1600)
    for record in forks:
        holds(record["frames"] or record["why"] == "forked while another thread's stack was walked", record)
    walked = sum(bool(r["frames"]) for r in forks)
    holds(walked >= 1440, f"{walked} of 1600: a fork seldom meets another thread just inside libunwind")


@test("python's frames are what they are")
def _(tree):
    record = stacks(tree, "/usr/bin/python3", "-c", "import os\ndef f():\n  os.fork() or os._exit(0)\n  os.wait()\nf()")[0]
    holds(len(record["frames"]) > 8, record)
    holds("python3" in record["modules"][record["frames"][0]["module"]]["path"], record)


def names_now(record):
    return without_helper([f.get("function") for f in record["frames"]])


@test("symbols=now names exported functions, and in a stripped program those alone")
def _(tree):
    source = read(os.path.join(tree.source, "tests", "watchers", "programs", "chain.c"))
    built = tree.compile("exports", source, "-rdynamic", "-O1", "-fno-optimize-sibling-calls")
    subprocess.run(["strip", built], check=True)
    record = stacks(tree, built, options=",symbols=now")[0]
    equal(names_now(record)[:4], CHAIN)
    holds(int(record["frames"][1]["in_function"], 16) > 0, record)
    stripped = os.path.join(tree.work, "stripped")
    subprocess.run(["strip", "-o", stripped, program(tree, "chain")], check=True)
    equal([name for name in names_now(stacks(tree, stripped, options=",symbols=now")[0]) if name in CHAIN], [])


@test("symbols=now names what the file has symbols for, also static functions, and also when its name is gone")
def _(tree):
    functions_of = """static int NAME(int n) { int s = fork(); if (s == 0) _exit(0); waitpid(s, &s, 0); return s + n; }
        """
    built = tree.compile("statics", "#include <stdio.h>\n#include <sys/wait.h>\n#include <unistd.h>\n"
                         "__attribute__((noipa)) " + functions_of.replace("NAME", "hidden_one") +
                         "int main(int c, char **v) { if (c > 1) remove(v[0]); return hidden_one(c) - c; }", "-O1")
    for more in ([], ["remove"]):
        record = stacks(tree, built, *more, options=",symbols=now")[0]
        equal(names_now(record)[:2], ["hidden_one", "main"], more)


@test("symbols=now takes no names from a file that is another one now")
def _(tree):
    library = """#include <sys/wait.h>
#include <unistd.h>
MORE
__attribute__((noipa)) static int FUNCTION(void) { int s = fork(); if (s == 0) _exit(0); waitpid(s, &s, 0); return s; }
int (*const taken)(void) = FUNCTION;
"""
    flags = ["-shared", "-fPIC", "-O1"]
    built = [tree.compile(name, library.replace("FUNCTION", name).replace("MORE", more), *flags)
             for name, more in (("first", ""), ("second", "int more = 7;"))]
    replaces = tree.compile("replaces", """#include <dlfcn.h>
#include <stdio.h>
int main(int c, char **v) {
    int (*const *taken)(void) = dlsym(dlopen(v[1], RTLD_NOW), "taken");
    if (c > 2) rename(v[2], v[1]);
    return (*taken)();
}""", "-O1")
    equal(names_now(stacks(tree, replaces, built[0], options=",symbols=now")[0])[:2], ["first", "main"])
    equal(names_now(stacks(tree, replaces, *built, options=",symbols=now")[0])[:2], [None, "main"])


@test("a program without a build id is recorded with its path and offsets, and named as it is now")
def _(tree):
    source = read(os.path.join(tree.source, "tests", "watchers", "programs", "chain.c"))
    built = tree.compile("unnumbered", source, "-O1", "-fno-optimize-sibling-calls", "-Wl,--build-id=none")
    record = stacks(tree, built)[0]
    module, = [m for m in record["modules"] if m["path"] == built]
    equal(module["build_id"], None)
    symbols = subprocess.run(["nm", "-S", built], capture_output=True, text=True, check=True).stdout
    start, size = (int(text, 16) for text in re.search(r"^(\w+) (\w+) \w outer$", symbols, re.M).groups())
    offsets = [int(f["offset"], 16) for f in record["frames"] if record["modules"][f["module"]] is module]
    holds(any(start < offset <= start + size for offset in offsets), offsets)
    run = tree.bare(os.path.join(tree.build, "tools", "taskwatch-symbolize"), os.path.join(tree.work, "stack.jsonl"))
    holds(f"{built}: it has no build id" in run.stderr, run.stderr)
    equal(without_helper([f.get("function") for f in json.loads(run.stdout)["frames"]])[:4], CHAIN)


@test("the descriptors of the program are as without it, at the start, after a walk, and in its children")
def _(tree):
    built = tree.compile("descriptors", """#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
static int next(void) { int fd = open("/dev/null", O_RDONLY); close(fd); return fd; }
static int open_below(int end) { int n = 0; for (int fd = 3; fd < end; fd++) n += fcntl(fd, F_GETFD) >= 0; return n; }
int main(void) {
    int first = next(), status = 0;
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(next() == 3 && open_below(60) == 0 ? 0 : 1);
        waitpid(pid, &status, 0);
        if (status != 0) return 4;
    }
    return first != 3 ? 5 : next() != 3 ? 6 : open_below(60);
}""")
    for more in ("", ",symbols=now"):
        holds(all(len(r["frames"]) > 1 for r in stacks(tree, built, options=more)), more)
    equal(len(stacks(tree, built)), 2)


@test("a program that uses libunwind itself finds it as it would be, and its limit of descriptors too")
def _(tree):
    built = tree.compile("unwinds", """#include <libunwind.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
static int walk(void) {
    unw_context_t context; unw_cursor_t cursor; int frames = 1;
    unw_getcontext(&context);
    if (unw_init_local(&cursor, &context) != 0) return -1;
    while (unw_step(&cursor) > 0) frames++;
    return frames;
}
int main(void) {
    struct rlimit limit;
    int before = walk(), status;
    if (fork() == 0) _exit(0);
    wait(&status);
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("%d %d %ld %ld\\n", before, walk(), (long)limit.rlim_cur, (long)limit.rlim_max);
    return 0;
}""", "-lunwind-generic", "-lunwind", "-ldl")
    bare = tree.bare(built).stdout.split()
    run = tree.run("-w", "stack:output=/dev/null", "--", built)
    before, after, *limits = run.stdout.split()
    equal((before, limits, run.stderr, run.returncode), (after, bare[2:], "", 0))
    holds(int(before) >= int(bare[0]) >= 3, "at least those without it: a frame of the library's may be among them")


@test("folded= is what flame graphs are made of, and the tool sums it up by name")
def _(tree):
    folded = os.path.join(tree.work, "folded")
    stacks(tree, program(tree, "chain"), "many", "2", options=f",folded={folded}")
    counts = collections.Counter()
    for line in read(folded).splitlines():
        stack, count = line.rsplit(" ", 1)
        counts[stack] += int(count)
        holds(stack.startswith("chain;") and stack.endswith((";fork", ";pthread_create")), stack)
    holds(max(counts.values()) >= 200, counts)
    summed = dict(line.rsplit(" ", 1) for line in named(tree, "--folded").splitlines())
    equal(sum(map(int, summed.values())), sum(counts.values()))
    holds(any(stack.endswith(";fork_often;fork") and int(n) >= 200 for stack, n in summed.items()), summed)
    run = tree.run("-w", f"stack:folded={folded}", "--", program(tree, "chain"))
    equal((run.returncode, run.stderr), (0, ""), "no JSON Lines besides")


@test("the tool passes on what is not a stack, leaves torn lines out, and refuses nonsense")
def _(tree):
    tool = os.path.join(tree.build, "tools", "taskwatch-symbolize")
    path = tree.file("mixed", '{"event":"init"}\n{"event":"sta\n{"event":"stack","frames":null}\n')
    run = tree.bare(tool, path)
    equal((run.stdout, run.stderr, run.returncode),
          ('{"event":"init"}\n{"event":"stack","frames":null}\n', "taskwatch-symbolize: 1 lines are not JSON and were left out\n", 0))
    run = tree.bare(tool, "/nowhere")
    equal((run.stderr, run.returncode), ("taskwatch-symbolize: /nowhere: No such file or directory\n", 1))
    run = tree.bare(tool, tree.file("bad", '{"event":"stack","frames":[{"module":7,"offset":"x"}],"modules":[]}\n'))
    equal(run.returncode, 1)
    holds("a record that is not as `stack` writes them" in run.stderr, run.stderr)
    equal(tree.bare(tool, "a", "b").returncode, 125)
