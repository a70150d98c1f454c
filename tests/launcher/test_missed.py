# SPDX-License-Identifier: MIT
# The launcher's closing line: what was not seen, once, at the end, wherever standard error goes and however the program
# ends; nothing if nothing was missed.
import os
import re
import signal
import subprocess

from harness import Skip, equal, holds, test
from test_terminal import Terminal

MAIN = "int main(void) { return 0; }\n"
TRACED = ("-o", "/dev/null")
LINE = "taskwatch: 1 program could not be watched (still)\n"


def closing_lines(text):
    return [line for line in text.splitlines(keepends=True) if re.match("taskwatch: .*(watched|lost)", line)]


def stderr_in_a_file(tree, *words, **options):
    with open(os.path.join(tree.work, "err"), "w+", encoding="utf-8") as stream:
        subprocess.run([tree.launcher, *words], env=tree.environment, cwd=tree.work, stderr=stream, timeout=60,
                       check=False, **options)
        stream.seek(0)
        return stream.read()


@test("at the end one line says which programs could not be watched and how many lines are lost")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    other = os.path.join(tree.work, "another\ttab")
    os.link(still, other)
    script = f"{still}; '{other}'; {still}; exec true"
    equal(tree.run(*TRACED, "sh", "-c", script).stderr,
          "taskwatch: 3 programs could not be watched (still x2, another?tab)\n")
    lost = tree.run("-e", "free", "-o", "/dev/full", "sh", "-c", f"{still}; true").stderr
    holds(re.fullmatch(r"taskwatch: 1 program could not be watched \(still\); [1-9]\d* lines lost\n", lost), lost)
    # The watcher need not want to hear of programs.
    equal(tree.run("--max-tasks=9", "sh", "-c", f"{still}; true").stderr, LINE)


@test("nothing is said if nothing was missed, with -q, and without the launcher")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    script = f"{still}; true"
    equal(tree.run(*TRACED, "sh", "-c", "env true; exec true").stderr, "")
    for options in ((), ("--no-supervise",)):
        equal(tree.run("-q", *options, *TRACED, "sh", "-c", script).stderr, "")
        equal(tree.run("-q", *options, *TRACED, still).stderr, "")
    variables = {"LD_PRELOAD": tree.library, "TASKWATCH_WATCHERS": "trace", "TASKWATCH_TRACE": "output=/dev/null"}
    equal(tree.bare("sh", "-c", script, env=variables).stderr, "")


@test("the closing line comes on a terminal, in a file and through a pipe")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    script = f"{still}; true"
    equal(stderr_in_a_file(tree, *TRACED, "sh", "-c", script), LINE)
    for options in ((), ("--no-supervise",)):
        words = " ".join((tree.launcher, *options, *TRACED))
        piped = tree.bare("bash", "-c", f"{words} sh -c '{script}' 2>&1 | cat")
        equal((piped.stdout, piped.stderr), (LINE, ""))
    terminal = Terminal(tree, False)
    terminal.run(f"{tree.launcher} {' '.join(TRACED)} sh -c '{script}'")
    terminal.close()
    holds(LINE.strip() + "\r\n" in terminal.text, terminal.text)


@test("the supervisor writes the closing line if the program cannot")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    for end in ("kill -KILL $$", "exec 2>&-", f"exec {still}"):
        script = f"{still}; {end}"
        expected = LINE if "still" not in end else LINE.replace("1 program", "2 programs").replace("still", "still x2")
        equal(closing_lines(stderr_in_a_file(tree, *TRACED, "sh", "-c", script)), [expected])
        terminal = Terminal(tree, False)
        terminal.run(f"{tree.launcher} {' '.join(TRACED)} sh -c '{script}'")
        terminal.close()
        holds(terminal.text.count(expected.strip() + "\r\n") == 1, terminal.text)
    # Nobody of ours was ever in it.
    note = f"taskwatch: note: {still} cannot be watched: it is statically linked; what it starts can be\n"
    equal(stderr_in_a_file(tree, *TRACED, still), note + LINE)


@test("the supervisor writes nothing behind the end of a pipe, which is that of the last who holds it")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    for end, status in ("kill -KILL $$", -signal.SIGKILL), ("exec 2>&-", 0):
        script = f"{still}; {end}"
        result = tree.run(*TRACED, "sh", "-c", script)
        equal((result.stderr, result.returncode), ("", status))
        held = tree.bare("sh", "-c", '"$@"; exit 3', "sh", tree.launcher, *TRACED, "sh", "-c", script)
        equal((closing_lines(held.stderr), held.returncode), ([LINE], 3))


@test("a program that was not executed after all is not counted, nor is one that is watched after all")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    # A name without '/' for the exec that fails first: execvp goes on to the next folder.
    program = tree.compile("busy", f"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {{
    open("{still}", O_RDWR);
    execl("{still}", "still", (char *)0); /* ETXTBSY */
    perror("still");
}}
""")
    equal(tree.run(*TRACED, program).stderr, "still: Text file busy\n")
    # Linked with the library, and with a loader that nobody takes for one of glibc.
    loader = tree.bare("readlink", "-f", "/lib64/ld-linux-x86-64.so.2").stdout.strip()
    if not loader:
        raise Skip("no /lib64/ld-linux-x86-64.so.2")
    os.symlink(loader, os.path.join(tree.work, "loader"))
    linked = tree.compile("linked", MAIN, f"-Wl,--dynamic-linker={tree.work}/loader", "-Wl,--no-as-needed",
                          tree.library, f"-Wl,-rpath,{os.path.dirname(tree.library)}")
    trace = os.path.join(tree.work, "trace")
    equal(tree.run("-o", trace, "sh", "-c", f"{linked}; true").stderr, "")
    # The same exec, seen twice: announced as one that will not be, and told of.
    equal(tree.bare("grep", "-c", f"exec {linked} ", trace).stdout, "2\n", tree.bare("cat", trace).stdout)


@test("each launcher says what it missed itself, and the inner one leaves it to the outer one")
def _(tree):
    still = tree.compile("still", MAIN, "-static")
    script = f"{tree.launcher} {' '.join(TRACED)} sh -c '{still}; true'; true"
    equal(tree.run(*TRACED, "sh", "-c", script).stderr, LINE)
