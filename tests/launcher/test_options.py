# SPDX-License-Identifier: MIT
# What each option of the launcher becomes: variables that the program gets, or one line of refusal.
import os
import shlex

from harness import equal, holds, read, test

VERSION = None  # what the build says
SEE = "; see taskwatch --help"


@test("without options: trace and nothing else")
def _(tree):
    equal(tree.variables(), {"LD_PRELOAD": tree.library, "TASKWATCH_WATCHERS": "trace"})


@test("--help is on stdout and names every option")
def _(tree):
    result = tree.run("--help")
    equal((result.returncode, result.stderr), (0, ""))
    for option in ("-w,", "-o,", "-A,", "--json", "-e,", "--inject", "--max-tasks", "-f ", "--no-follow", "--color",
                   "-n ", "--list", "-q,", "--version", "TASKWATCH_DISABLE=1"):
        holds(option in result.stdout, option)


@test("--version is the build's version")
def _(tree):
    result = tree.run("--version")
    equal((result.returncode, result.stderr), (0, ""))
    holds(result.stdout.startswith("taskwatch "), result.stdout)
    if VERSION:
        equal(result.stdout, f"taskwatch {VERSION}\n")


@test("an unknown option, a missing value, a missing program: one line, status 125")
def _(tree):
    tree.refused("--foo", "true", line="unknown option '--foo'" + SEE)
    tree.refused("-z", "true", line="unknown option '-z'" + SEE)
    tree.refused("--json=1", "true", line="unknown option '--json=1'" + SEE)
    tree.refused("-w", line="option '-w' needs a value" + SEE)
    tree.refused("--max-tasks", line="option '--max-tasks' needs a value" + SEE)
    tree.refused(line="no program is named" + SEE)
    tree.refused("--json", "--", line="no program is named" + SEE)
    tree.refused("-p", "1", line="-p: a running process cannot be watched; start it under taskwatch" + SEE)


@test("options stop at the program, -- ends them")
def _(tree):
    result = tree.run("echo", "--json", "-w", "x")
    equal((result.stdout, result.returncode), ("--json -w x\n", 0))
    result = tree.run("-o", "/dev/null", "--", "echo", "--", "-n")
    equal(result.stdout, "-- -n\n")
    tree.file("-x", "#!/bin/sh\necho dash\n", 0o755)
    result = tree.run("-o", "/dev/null", "--", "-x", env={"PATH": tree.work + ":" + os.environ["PATH"]})
    equal(result.stdout, "dash\n")


@test("-w NAME:options sets the watcher and its variable")
def _(tree):
    seen = tree.variables("-w", "limit:tasks=9", "--watcher=trace:events=exec,exit,format=json")
    equal(seen["TASKWATCH_WATCHERS"], "limit:trace")
    equal(seen["TASKWATCH_LIMIT"], "tasks=9")
    equal(seen["TASKWATCH_TRACE"], "events=exec,exit,format=json")
    equal(tree.variables("-wlimit:tasks=9")["TASKWATCH_WATCHERS"], "limit")


@test("-w twice with one name: one watcher, all options")
def _(tree):
    seen = tree.variables("-w", "trace:argv=0", "-w", "trace:threads=1")
    equal((seen["TASKWATCH_WATCHERS"], seen["TASKWATCH_TRACE"]), ("trace", "argv=0,threads=1"))


@test("a watcher's relative path, with spaces in it, is made absolute")
def _(tree):
    os.makedirs(os.path.join(tree.work, "my plugins"))
    seen = tree.variables("-w", "my plugins/a-b.so:x=1", "-q")
    path = os.path.join(tree.work, "my plugins/a-b.so")
    equal((seen["TASKWATCH_WATCHERS"], seen["TASKWATCH_A_B"]), (path, "x=1"))
    equal(tree.variables("-w", "mine.so")["TASKWATCH_WATCHERS"], tree.work + "/mine.so")
    equal(tree.variables("-w", "/x/mine.so")["TASKWATCH_WATCHERS"], "/x/mine.so")


@test("a watcher's path with ':' is refused")
def _(tree):
    text = "a watcher's path must not contain ':'; "
    tree.file("a:b.so")
    for word in ("./a:b.so", "./a:b.so:x=1", "./a:b.so:x=1:y"):
        tree.refused("-w", word, "true", line="./a:b.so: " + text + "rename it or link to it under another name")
    folder = os.path.join(tree.work, "c:d")
    os.mkdir(folder)
    tree.refused("-w", "./x.so", "true", cwd=folder, line=folder + "/./x.so: " + text + "link to it from elsewhere")


@test("a watcher without a name, with a name of the library's, with another's name: refused")
def _(tree):
    tree.refused("-w", "", "true", line="-w '' names no watcher" + SEE)
    tree.refused("-w", ":x=1", "true", line="-w ':x=1' names no watcher" + SEE)
    for own in ("disable", "follow", "strict", "quiet", "watchers", "path", "session", "library", "tests-must.run"):
        variable = "TASKWATCH_" + own.upper().replace("-", "_").replace(".", "_")
        tree.refused("-w", f"/x/{own}.so", "true", line=f"watcher '/x/{own}.so': {variable} is a variable of the "
                     "library's own; give the watcher another name")
    tree.refused("-w", "/x/one.so", "-w", "/y/one.so", "true",
                 line="watchers '/x/one.so' and '/y/one.so' have the same name; rename one of them")


@test("options of the environment are kept until the command line has some for that watcher")
def _(tree):
    mine = {"TASKWATCH_TRACE": "argv=0", "TASKWATCH_LIMIT": "tasks=3"}
    seen = tree.variables(env=mine)
    holds("TASKWATCH_TRACE" not in seen and "TASKWATCH_LIMIT" not in seen, seen)
    seen = tree.variables("-w", "limit", "--json", env=mine)
    equal(seen["TASKWATCH_TRACE"], "format=json")
    holds("TASKWATCH_LIMIT" not in seen, seen)


@test("--json, -e and -o are options of trace")
def _(tree):
    seen = tree.variables("--json", "-e", "exec,exit", "--events=uid", "-o", "t.jsonl")
    equal((seen["TASKWATCH_WATCHERS"], seen["TASKWATCH_TRACE"]),
          ("trace", f"format=json,output={tree.work}/t.jsonl,events=exec,exit,uid"))
    equal(tree.variables("-eexec")["TASKWATCH_TRACE"], "events=exec")
    tree.refused("-o", "", "true", line="-o names no file" + SEE)


@test("-o - is standard output, -o of an absolute path is left alone")
def _(tree):
    result = tree.run("-n", "-o", "-", "true")
    holds(" TASKWATCH_TRACE=output=- " in result.stdout, result.stdout)
    path = tree.work + "/x"
    equal(tree.variables("-o", path)["TASKWATCH_TRACE"], "output=" + path)


@test("a relative output= of -w is made absolute")
def _(tree):
    for given, expected in (("output=t", "output=/t"), ("argv=0,output=a,b", "argv=0,output=/a,b"),
                            ("output=t,argv=0", "output=/t,argv=0"), ("output=%p.txt", "output=/%p.txt")):
        result = tree.run("-n", "-w", "trace:" + given, "true")
        expected = expected.replace("=/", f"={tree.work}/")
        holds(f" TASKWATCH_TRACE={expected} " in result.stdout, (expected, result.stdout))
    for given in ("output=/t,argv=0", "output=-", "output=-,argv=0", "argv=0"):
        result = tree.run("-n", "-w", "trace:" + given, "true")
        holds(f" TASKWATCH_TRACE={given} " in result.stdout, (given, result.stdout))


@test("an output path that would be read as two options is refused")
def _(tree):
    tree.refused("-o", "/tmp/a,b=c", "true",
                 line="/tmp/a,b=c: a path with ',' before a '=' cannot be passed on; choose another")
    equal(tree.run("-n", "-o", "/tmp/a=b,c", "true").returncode, 0)


@test("-o empties the file first, -A does not, a new file is its owner's alone")
def _(tree):
    path = tree.file("log", "before\n")
    for append, kept in (("-A", True), ("--append", True), (None, False)):
        result = tree.run("-w", "trace:events=uid", *([append] if append else []), "-o", "log", "true")
        equal((result.returncode, result.stderr), (0, ""))
        equal(read(path).startswith("before\n"), kept)
    tree.run("-o", "new", "true")
    equal(os.stat(os.path.join(tree.work, "new")).st_mode & 0o777, 0o600)


@test("-o of something that cannot be written is refused before the program starts")
def _(tree):
    os.mkdir(os.path.join(tree.work, "folder"))
    tree.refused("-o", "folder", "echo", "ran", line=tree.work + "/folder: Is a directory")
    tree.refused("-o", "no/such", "echo", "ran", line=tree.work + "/no/such: No such file or directory")
    result = tree.run("-n", "-o", "%p.log", "true")
    equal((result.returncode, os.listdir(tree.work)), (0, ["folder"]))


@test("-o with %p is a file for each process, and no file of that very name")
def _(tree):
    tree.run("-o", "%p.log", "-e", "exec", "true")
    holds(all(name[:-4].isdigit() for name in os.listdir(tree.work)), os.listdir(tree.work))
    equal(len(os.listdir(tree.work)), 1)


@test("-o of a pipe without a reader does not wait for one before the program starts")
def _(tree):
    os.mkfifo(os.path.join(tree.work, "pipe"))
    equal(tree.run("-w", "limit", "-n", "-o", "pipe", "true").returncode, 0)
    equal(tree.run("-o", "pipe", "-e", "uid", "echo", "ran").stdout, "ran\n")


@test("--no-follow is TASKWATCH_FOLLOW=0, -f is accepted")
def _(tree):
    equal(tree.variables("--no-follow")["TASKWATCH_FOLLOW"], "0")
    holds("TASKWATCH_FOLLOW" not in tree.variables("-f"))


@test("--inject becomes rules of the fault watcher, each kept, without trace")
def _(tree):
    seen = tree.variables("--inject=vfork:error=EAGAIN:when=3+2", "--inject", "fexecve:error=ENOENT:program=*/cc",
                          "--inject=gid:probability=0.5:seed=1")
    equal(seen["TASKWATCH_WATCHERS"], "fault")
    equal(seen["TASKWATCH_FAULT"], "on=init,call=vfork,error=EAGAIN,when=3+2;"
          "on=exec,call=fexecve,error=ENOENT,program=*/cc;on=gid,probability=0.5,seed=1")
    seen = tree.variables("--inject=clone,setresuid:when=99", "-w", "fault:on=clone,when=99")
    equal(seen["TASKWATCH_FAULT"], "on=init,call=clone,when=99;on=uid,call=setresuid,when=99;on=clone,when=99")


@test("--inject of an unknown call or key is refused")
def _(tree):
    tree.refused("--inject=frok", "true", line="--inject: unknown call 'frok'; known are fork, _Fork, vfork, clone, "
                 "posix_spawn(p), the exec and set*id functions, and init, exec, uid, gid for all of a kind" + SEE)
    keys = " is none of error=, when=, probability=, seed=, program="
    tree.refused("--inject=fork:EAGAIN", "true", line="--inject: 'EAGAIN'" + keys + SEE)
    tree.refused("--inject=fork:error=", "true", line="--inject: 'error='" + keys + SEE)
    tree.refused("--inject=fork:error=E;on=exec", "true", line="--inject: ';' in 'error=E;on=exec'" + SEE)


@test("--max-tasks=N is a limit, without trace")
def _(tree):
    for words in (("--max-tasks=20",), ("--max-tasks", "20")):
        seen = tree.variables(*words)
        equal((seen["TASKWATCH_WATCHERS"], seen["TASKWATCH_LIMIT"]), ("limit", "tasks=20"))
    equal(tree.variables("--max-tasks=20", "--json")["TASKWATCH_WATCHERS"], "limit:trace")
    for wrong in ("0", "-1", "many", "", "1e3"):
        tree.refused("--max-tasks=" + wrong, "true",
                     line=f"--max-tasks '{wrong}' is not a number from 1 to 999999999" + SEE)


@test("a short form goes to the user's own build of that watcher when -w has named it")
def _(tree):
    seen = tree.run("-n", "-w", "/x/trace.so", "--json", "true")
    holds(" TASKWATCH_WATCHERS=/x/trace.so " in seen.stdout and " TASKWATCH_TRACE=format=json " in seen.stdout, seen)


@test("--color and NO_COLOR are trace's color=; the option wins")
def _(tree):
    equal(tree.variables("--color=always")["TASKWATCH_TRACE"], "color=always")
    no_color = {"NO_COLOR": "1"}
    equal(tree.variables(env=no_color)["TASKWATCH_TRACE"], "color=never")
    equal(tree.variables("--color", "auto", env=no_color)["TASKWATCH_TRACE"], "color=auto")
    equal(tree.variables(env=no_color | {"TASKWATCH_TRACE": "argv=0"})["TASKWATCH_TRACE"], "argv=0,color=never")
    holds("TASKWATCH_TRACE" not in tree.variables("-w", "limit", "--color=never"))
    holds("TASKWATCH_TRACE" not in tree.variables(env={"NO_COLOR": ""}))
    tree.refused("--color=blue", "true", line="--color 'blue' is none of auto, always, never" + SEE)


@test("-n prints a line that a shell can run, and does nothing else")
def _(tree):
    log = tree.file("it's a log", "kept\n")
    words = ["-n", "--json", "-o", "it's a log", "--inject=fork:error=EAGAIN", "printf", "%s|", "a b", "it's", "",
             "$HOME", "plain"]
    result = tree.run(*words)
    equal((result.returncode, result.stderr, read(log)), (0, "", "kept\n"))
    expected = ["env", "LD_PRELOAD=" + tree.library, "TASKWATCH_WATCHERS=fault:trace",
                "TASKWATCH_FAULT=on=init,call=fork,error=EAGAIN",
                f"TASKWATCH_TRACE=format=json,output={log}"] + words[5:]
    equal(shlex.split(result.stdout), expected)
    again = tree.bare("sh", "-c", result.stdout)
    equal((again.stdout, again.returncode), ("a b|it's||$HOME|plain|", 0))


@test("-q silences the launcher's notes and nothing else")
def _(tree):
    off = {"TASKWATCH_DISABLE": "1"}
    result = tree.run("sh", "-c", "echo program >&2", env=off)
    equal(result.stderr, "taskwatch: note: TASKWATCH_DISABLE is set: nothing is watched\nprogram\n")
    for option in ("-q", "--quiet"):
        equal(tree.run(option, "sh", "-c", "echo program >&2", env=off).stderr, "program\n")
    tree.refused("-q", "--foo", line="unknown option '--foo'" + SEE)


@test("--list names the watchers with their descriptions, the user's folders first")
def _(tree):
    tree.file("broken.so", "no ELF file\n")
    tree.file("limit.so", "mine hides the library's\n")
    result = tree.run("--list", env={"TASKWATCH_PATH": tree.work})
    equal((result.returncode, result.stderr), (0, ""))
    lines = [line.split(None, 1) for line in result.stdout.splitlines()]
    equal([name for name, _ in lines], ["broken", "limit", "acct", "busy", "fault", "leak", "privdrop", "stack", "trace"])
    seen = dict(lines)
    for name in ("broken", "limit"):
        holds(seen[name].startswith("(cannot be loaded: "), seen[name])
    for name in ("busy", "fault", "trace"):
        holds(seen[name] and not seen[name].startswith("("), seen[name])
