# SPDX-License-Identifier: MIT
# What the program gets from the launcher apart from the variables: everything as without it.
import os
import signal
import subprocess
import sys

from harness import equal, holds, test

QUIET = ("-o", "/dev/null")


def entries(text):
    return sorted(entry for entry in text.split("\0")
                  if entry and not entry.startswith(("LD_PRELOAD=", "TASKWATCH_")))


@test("an existing LD_PRELOAD is kept behind the library, which is never named twice")
def _(tree):
    libc = next(word for word in tree.bare("ldd", "/bin/sh").stdout.split() if "/libc.so" in word)
    equal(tree.variables(env={"LD_PRELOAD": libc})["LD_PRELOAD"], f"{tree.library}:{libc}")
    result = tree.run(*QUIET, tree.launcher, *QUIET, "printenv", "LD_PRELOAD", env={"LD_PRELOAD": libc})
    equal(result.stdout, f"{tree.library}:{libc}\n")


@test("the rest of the environment is as it was, and the shell's start-up file is not run")
def _(tree):
    start = tree.file("start", "echo START-UP FILE; exit 9\n")
    strange = {"PATH": "/usr/bin:/bin", "BASH_ENV": start, "ENV": start, "SHELLOPTS": "braceexpand:xtrace",
               "BASHOPTS": "extglob", "BASH_FUNC_exec%%": "() { echo FUNCTION; }",
               "BASH_FUNC_printf%%": "() { echo FUNCTION; }", "a-b": "not a name", "EMPTY": "", "LINES2": "a\nb",
               "TASKWATCH_LIMIT": "tasks=7", "CDPATH": "/", "POSIXLY_CORRECT": "1", "IFS": "x",
               "version": "1", "options": "", "watchers": "x", "format": "x", "name": "name", "UID": "77",
               "RANDOM": "4", "output": "secret", "entry": "", "own": " PWD "}
    for environment in ({}, {"PATH": "/usr/bin:/bin"}, strange, strange | {"SHLVL": "7", "PWD": "/wrong", "_": "x"},
                        {"SHLVL": "many", "OLDPWD": "/nowhere"}):
        bare = tree.bare("/usr/bin/env", "-0", only_env=environment)
        under = tree.run(*QUIET, "/usr/bin/env", "-0", only_env=environment)
        equal(entries(under.stdout), entries(bare.stdout), under.stderr)
        equal((under.returncode, under.stderr), (0, ""))


@test("arguments arrive byte by byte")
def _(tree):
    words = ["", " a  b ", "*", "$x", "`x`", "\\", "'", '"', "\n", "-n", "ä", "a=b"]
    result = tree.run(*QUIET, sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *words)
    equal(result.stdout, ascii(words) + "\n", result.stderr)


@test("descriptors, signal mask and dispositions, umask, limits, folder, timers are as they were")
def _(tree):
    script = ("import os, resource, re, json, signal; "
              "status = open('/proc/self/status').read(); "
              "mask = os.umask(0); "
              "print(json.dumps([[n for n in range(60) if os.path.exists(f'/proc/self/fd/{n}') and n != 3], "
              "re.findall('Sig(?:Blk|Ign|Cgt):.*', status), mask, resource.getrlimit(resource.RLIMIT_NOFILE), "
              "os.getcwd(), signal.getitimer(signal.ITIMER_REAL)[0] > 500]))")

    def prepare():
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        os.umask(0o037)
        os.setsid()
        signal.setitimer(signal.ITIMER_REAL, 1000)
        os.dup2(1, 17, inheritable=True)

    for more in ({}, {"preexec_fn": prepare, "close_fds": False}):
        bare = tree.bare(sys.executable, "-c", script, **more)
        for options in (QUIET, (*QUIET, "--no-supervise"), (*QUIET, "--reap")):
            under = tree.run(*options, sys.executable, "-c", script, **more)
            equal(under.stdout, bare.stdout, under.stderr)


@test("stdin and stdout are the program's")
def _(tree):
    result = subprocess.run([tree.launcher, *QUIET, "cat"], input="text\0more", capture_output=True, text=True,
                            env=tree.environment, timeout=60, check=False)
    equal((result.stdout, result.stderr, result.returncode), ("text\0more", "", 0))


@test("closed standard descriptors stay closed")
def _(tree):
    result = tree.bare("sh", "-c", f"'{tree.launcher}' {' '.join(QUIET)} ls /proc/self/fd <&- 2>&-")
    bare = tree.bare("sh", "-c", "ls /proc/self/fd <&- 2>&-")
    low = [[line for line in run.stdout.split() if int(line) < 10] for run in (result, bare)]
    equal(low[0], low[1])


@test("the program has no child that it did not make")
def _(tree):
    result = tree.run(*QUIET, sys.executable, "-c", "import os\ntry: print(os.wait())\nexcept ChildProcessError: pass")
    equal((result.stdout, result.returncode), ("", 0), result.stderr)


@test("process group and session are the launcher's; with --no-supervise the process id too")
def _(tree):
    script = "import os; print(os.getpid(), os.getppid(), os.getpgid(0), os.getsid(0))"
    for options in (QUIET, (*QUIET, "--no-supervise")):
        with subprocess.Popen([tree.launcher, *options, sys.executable, "-c", script], stdout=subprocess.PIPE,
                              text=True, env=tree.environment, start_new_session=True) as process:
            pid, parent, group, session = map(int, process.communicate(timeout=60)[0].split())
        equal((group, session), (process.pid, process.pid))
        equal(pid if "--no-supervise" in options else parent, process.pid)
