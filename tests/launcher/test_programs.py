# SPDX-License-Identifier: MIT
# Programs under the launcher: exit status, what cannot be run, what cannot be watched, the short forms at
# work.
import os
import signal
import sys

from harness import Skip, equal, holds, read, test

QUIET = ("-o", "/dev/null")


@test("the exit status is the program's own")
def _(tree):
    for status in (0, 1, 3, 125, 126, 127, 255):
        equal(tree.run(*QUIET, "sh", "-c", f"exit {status}").returncode, status)


@test("a signal that ends the program ends the launcher")
def _(tree):
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        equal(tree.run(*QUIET, "sh", "-c", f"kill -{int(number)} $$").returncode, -number)


@test("127 and a line for a program that is not there")
def _(tree):
    text = ": No such file or directory"
    tree.refused("nosuch", status=127, line="nosuch" + text)
    tree.refused("./no/such", status=127, line="./no/such" + text)
    tree.refused("", status=127, line=text)
    tree.refused("-n", "nosuch", status=127, line="nosuch" + text)
    os.symlink("nowhere", os.path.join(tree.work, "dangling"))
    tree.refused("./dangling", status=127, line="./dangling" + text)


@test("126 and a line for a program that cannot be run")
def _(tree):
    tree.file("plain")
    tree.refused("./plain", status=126, line="./plain: Permission denied")
    tree.refused("/", status=126, line="/: Is a directory")
    tree.refused("./plain/x", status=126, line="./plain/x: Not a directory")
    path = {"PATH": tree.work + ":" + os.environ["PATH"]}
    tree.refused("plain", status=126, line="plain: Permission denied", env=path)


@test("a file that the kernel refuses has the status and reason that env(1) gives")
def _(tree):
    tree.file("bad", "#!/no/such/interpreter\n", 0o755)
    tree.file("loop", "#!loop\n", 0o755)
    for name, status in (("./bad", 127), ("./loop", 126)):
        bare = tree.bare("env", name)
        equal(bare.returncode, status)
        result = tree.run(*QUIET, name)
        equal((result.returncode, result.stderr.rpartition(": ")[2]), (status, bare.stderr.rpartition(": ")[2]))
        equal(result.stderr.count("\n"), 1)
        result = tree.run(*QUIET, "--no-supervise", name)
        equal((result.returncode, result.stderr), (status, bare.stderr.replace("env:", "/usr/bin/env:")))


@test("PATH is searched as a shell searches it")
def _(tree):
    tree.file("here", "#!/bin/sh\necho here\n", 0o755)
    for path in (tree.work + ":/bin:/usr/bin", ":/bin:/usr/bin", "/bin:/usr/bin:", "/bin:/usr/bin:."):
        result = tree.run(*QUIET, "here", env={"PATH": path})
        equal((result.stdout, result.stderr), ("here\n", ""), path)
    os.makedirs(os.path.join(tree.work, "first", "here"))
    result = tree.run(*QUIET, "here", env={"PATH": f"{tree.work}/first:{tree.work}:/bin:/usr/bin"})
    equal(result.stdout, "here\n")


@test("a script without #! runs, watched")
def _(tree):
    tree.file("script", "echo $1 $LD_PRELOAD\n", 0o755)
    result = tree.run(*QUIET, "./script", "one")
    equal((result.stdout, result.returncode), (f"one {tree.library}\n", 0), result.stderr)


@test("a program with '=' in its name runs, watched")
def _(tree):
    tree.file("a=b", "#!/bin/sh\necho $1 $LD_PRELOAD; exit 4\n", 0o755)
    result = tree.run(*QUIET, "./a=b", "one")
    equal((result.stdout, result.returncode), (f"one {tree.library}\n", 4), result.stderr)


@test("a static program runs, with a note that -q silences")
def _(tree):
    program = tree.compile("still", 'int puts(const char *);\nint main(void) { return puts("ran") < 0; }\n', "-static")
    for options, note in (((), f"taskwatch: note: {program} cannot be watched: it is statically linked; "
                           "what it starts can be\n"), (("-q",), "")):
        result = tree.run(*options, program)
        equal((result.stdout, result.stderr, result.returncode), ("ran\n", note, 0))


@test("a program that gains privileges runs, with a note")
def _(tree):
    if os.geteuid() != 0:
        raise Skip("needs root to make a set-id program")
    program = tree.compile("raised", 'int puts(const char *);\nint main(void) { return puts("ran") < 0; }\n')
    os.chmod(program, 0o2755)
    os.chown(program, 0, 65534)
    os.chmod(program, 0o2755)
    result = tree.run(program)
    equal((result.stdout, result.stderr, result.returncode),
          ("ran\n", f"taskwatch: note: {program} cannot be watched: it gains privileges when it starts "
           "(set-group-ID nogroup)\n", 0))


@test("a program that gcc built with AddressSanitizer runs, its runtime first in LD_PRELOAD")
def _(tree):
    text = '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return puts(getenv("LD_PRELOAD")) < 0; }\n'
    program = tree.compile("checked", text, "-fsanitize=address")
    runtime = next(word for word in tree.bare("ldd", program).stdout.split() if word.startswith("libasan"))
    result = tree.run(*QUIET, program)
    equal((result.stdout, result.stderr, result.returncode), (f"{runtime}::{tree.library}\n", "", 0))


@test("trace is on stderr although the program sends its own elsewhere")
def _(tree):
    result = tree.run("sh", "-c", "ls -d / 2>/dev/null; exit 3")
    equal((result.stdout, result.returncode), ("/\n", 3))
    holds("ls" in result.stderr, result.stderr)
    equal(tree.run("-e", "uid", "sh", "-c", "ls -d / 2>/dev/null").stderr, "")


@test("-o - puts the trace on standard output, -o FILE into that file")
def _(tree):
    result = tree.run("--json", "-o", "-", "true")
    holds('"event":"exec"' in result.stdout, result)
    equal(result.stderr, "")
    result = tree.run("--json", "-e", "exec", "-o", "t.jsonl", "sh", "-c", "cd /; ls -d /")
    equal((result.stdout, result.stderr), ("/\n", ""))
    events = read(os.path.join(tree.work, "t.jsonl")).splitlines()
    equal(len(events), 2, events)


@test("--no-follow leaves out what the program executes")
def _(tree):
    result = tree.run("--no-follow", "--json", "-e", "exec", "-o", "-", "sh", "-c", "/bin/true; exec /bin/true")
    equal(result.stdout.count('"event":"exec"'), 1, result.stdout)


@test("--inject fails exactly the calls that it names")
def _(tree):
    script = ("import os\nfor n in range(6):\n try:\n  pid = os.fork()\n  if pid == 0: os._exit(0)\n"
              "  os.waitpid(pid, 0); print('ok')\n except OSError as e: print(e.errno)")
    result = tree.run("--inject=fork:error=ENOMEM:when=2+2", sys.executable, "-c", script)
    equal(result.stdout.split(), ["ok", "12", "ok", "12", "ok", "12"], result.stderr)


@test("--max-tasks refuses the task beyond it")
def _(tree):
    script = """
import os
gate = os.pipe()
for n in range(5):
    try:
        if os.fork() == 0:
            os.read(gate[0], 1)
            os._exit(0)
        print("ok")
    except OSError as error:
        print(error.errno)
os.write(gate[1], b"xxxxx")
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
"""
    result = tree.run("--max-tasks=3", sys.executable, "-uc", script)
    equal(result.stdout.split(), ["ok", "ok", "ok", "11", "11"], result.stderr)
