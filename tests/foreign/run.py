#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Other people's programs behave the same bare and under the library.

    run.py BUILD

Each workload runs bare twice (what is not reproducible would prove nothing), then under `busy`, which
wants every event and takes its time, and then under `busy` beside trace, limit and fault. Compared are stdout,
stderr and exit status. Prints TAP. A program that is not here is a skip; TASKWATCH_TESTS_MUST_RUN=1 makes that a failure.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(sys.argv[1])
LIBRARY = os.path.join(BUILD, "shim", "libtaskwatch.so")
WATCHERS = os.path.join(BUILD, "watchers")

# name, programs it needs, what bash runs in a folder of its own.
WORKLOADS = [
    ("bash: pipes, subshells, background jobs, traps, coprocesses", ["bash"], r"""
        trap 'echo exit trap' EXIT
        seq 20 | while read n; do echo $((n * n)); done | tail -3
        (cd /; pwd; exit 3); echo "status $?"
        for i in 1 2 3 4; do (exit $i) & pids+=($!); done
        for p in "${pids[@]}"; do wait $p; echo "job $?"; done
        coproc cat; echo through >&${COPROC[1]}; read -u ${COPROC[0]} line; echo "coprocess $line"
        eval "exec ${COPROC[1]}>&-"; wait
        trap 'echo usr1' USR1; kill -USR1 $$
        echo $(echo $(echo nested)); cat <(echo substituted)
        sh -c 'kill -9 $$'; echo "killed $?"
        nosuchcommand; echo "missing $?"
    """),
    ("dash: a script with command substitution and jobs", ["dash"], r"""
        dash -c 'x=$(ls /etc/passwd); echo $x; (exit 4); echo $?; true & wait $!; echo $?; exec echo last'
        dash -c 'set -e; false; echo never'; echo $?
        printf 'echo from a script without a first line\n' > script; chmod +x script; dash -c ./script
    """),
    ("make -j2 builds a C program with gcc", ["make", "gcc"], r"""
        for i in 1 2 3 4 5 6 7 8; do echo "int f$i(void) { return $i; }" > f$i.c; done
        { for i in 1 2 3 4 5 6 7 8; do echo "int f$i(void);"; done; echo '#include <stdio.h>'
          echo 'int main(void) { printf("%d\n", f1()+f2()+f3()+f4()+f5()+f6()+f7()+f8()); return 0; }'; } > main.c
        printf 'all: p\n\t@./p\np: $(patsubst %%.c,%%.o,$(wildcard *.c))\n\t@gcc -o $@ $^\n%%.o: %%.c\n\t@gcc -c $<\n' > Makefile
        make -s -j2; echo "make $?"; ls | sort
        printf 'x:\n\t@exit 3\n' > Fail; make -s -f Fail; echo "fails $?"
    """),
    ("gcc reports errors and cleans up", ["gcc"], r"""
        echo 'int main(void) { return missing; }' > bad.c; gcc -c bad.c; echo $?; ls
    """),
    ("python3: fork, subprocess, system, popen", ["python3"], r"""
        cat > p.py <<'PY'
import os, subprocess, sys, signal
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, b"child"); os._exit(7)
print(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(subprocess.run(["echo", "hi"], capture_output=True).stdout)
print(subprocess.run("exit 4", shell=True).returncode)
print(subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode)
try: subprocess.run(["nosuchprogram"])
except FileNotFoundError as e: print(e)
print(os.system("exit 5") >> 8, os.popen("echo popen").read())
p = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={})
print(p.communicate(b"through")[0], p.returncode)
pid = os.posix_spawn("/bin/echo", ["echo", "spawned"], os.environ)
print(os.waitpid(pid, 0)[1])
PY
        python3 -u p.py
    """),
    ("python3: threads and multiprocessing in three start methods", ["python3"], r"""
        cat > p.py <<'PY'
import multiprocessing, threading, sys
def square(n): return n * n
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(square, range(10)))
    total = []
    threads = [threading.Thread(target=lambda n=n: total.append(n)) for n in range(50)]
    [t.start() for t in threads]; [t.join() for t in threads]
    print(sum(total))
PY
        python3 p.py
    """),
    ("perl: fork, exec, system, pipes, wait", ["perl"], r"""
        perl -e '$|=1; my $p = fork // die; if (!$p) { exec "sh", "-c", "exit 6" } waitpid $p, 0; print $?>>8, "\n";
                 print `echo backtick`; system "exit 2"; print $?>>8, "\n"; open my $f, "-|", "echo", "piped"; print <$f>;
                 close $f; local $SIG{CHLD}="IGNORE"; fork or exit 1; print wait, "\n"; $SIG{ALRM}=sub{die "alarm\n"};
                 eval { alarm 1; sleep 5 }; print $@'
    """),
    ("git: init, commit, diff, log, clone with helpers", ["git"], r"""
        export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' HOME=$PWD
        git config --global user.name a; git config --global user.email a@b; git config --global init.defaultBranch main
        git init -q r; cd r; echo one > f; git add f; git commit -qm first; echo two >> f; git diff | tail -2
        git commit -qam second; git log --oneline | cat; cd ..; git clone -q file://$PWD/r c; git -C c fsck; ls c
    """),
    ("find -exec and xargs -P2", ["find", "xargs"], r"""
        touch a b c d; find . -name '[a-d]' -exec echo {} + | tr ' ' '\n' | sort
        find . -name '[ab]' -exec sh -c 'exit 1' \; ; echo $?
        seq 12 | xargs -P2 -n1 sh -c 'exit $(($0 % 2))' ; echo $?
        seq 12 | xargs -P2 -n3 echo | sort
    """),
]


def run(script, folder, variables):
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=200)
    # Pids, where bash prints them, and the folder's own name are the only things that may differ.
    clean = lambda text: re.sub(r": *[0-9]+ (Killed|Terminated)", r": PID \1",
                                text.decode("utf-8", "replace").replace(folder, "FOLDER"))
    return done.returncode, clean(done.stdout), clean(done.stderr)


def in_folder(script, variables):
    with tempfile.TemporaryDirectory(prefix="foreign-") as folder:
        return run(script, folder, {name: value.replace("{folder}", folder) for name, value in variables.items()})


def under(watchers):
    return {"LD_PRELOAD": LIBRARY, "TASKWATCH_PATH": WATCHERS, "TASKWATCH_WATCHERS": watchers,
            "TASKWATCH_TRACE": "format=json,output={folder}/.trace", "TASKWATCH_LIMIT": "tasks=10000",
            "TASKWATCH_FAULT": "on=init,when=1000000"}


def main():
    print(f"1..{3 * len(WORKLOADS)}")
    must_run = os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1"
    number, failed = 0, False
    for name, programs, script in WORKLOADS:
        missing = [p for p in programs if not shutil.which(p)]
        bare = None
        for how, variables in (("bare, twice", {}), ("under busy", under("busy")),
                               ("under busy, trace, limit and fault", under("busy:trace:limit:fault"))):
            number += 1
            if missing:
                print(f"{'not ' if must_run else ''}ok {number} - {name} {how} # SKIP {', '.join(missing)} not installed")
                failed |= must_run
                continue
            if bare is None:
                bare = in_folder(script, {})
            seen = in_folder(script, variables)
            good = seen == bare
            failed |= not good
            print(f"{'ok' if good else 'not ok'} {number} - {name} {how}")
            if not good:
                print("".join(f"# bare {line}\n" for line in repr(bare).split("\\n")), end="")
                print("".join(f"# seen {line}\n" for line in repr(seen).split("\\n")), end="", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
