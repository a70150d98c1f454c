# SPDX-License-Identifier: MIT
# taskwatch --doctor: a program of each kind, what is said of it, and the exit status; and that a start says the same
# in one line.
import os
import shutil
import subprocess

from harness import Skip, equal, holds, test

NOBODY = 65534
MAIN = "int main(void) { return 0; }\n"
WATCHED = ("  seen:     the tasks that it makes, what they execute, changed ids, their ends\n"
           "  not seen: what it does by system call instructions of its own\n")
UNSEEN = ("  seen:     its start and its end, if what starts it is watched\n"
          "  not seen: what it does itself, and what it starts")
GO_NOTE = ('__asm__(".pushsection .note.go.buildid,\\"a\\",@note\\n.balign 4\\n.long 4, 8, 4\\n.asciz \\"Go\\"\\n'
           '.byte 0\\n.ascii \\"build-id\\"\\n.popsection");\n')


def diagnosis(tree, program, text, status, **more):
    result = tree.run("--doctor", program, **more)
    equal((result.stdout, result.stderr, result.returncode), (text, "", status))


def loader_of(tree, program):
    headers = tree.bare("readelf", "-l", program).stdout
    return headers.split("program interpreter: ")[1].split("]")[0]


def this_program(tree, program):
    return f"{program} is a 64-bit x86-64 program, loaded by {loader_of(tree, program)}"


def noted_at_start(tree, program, sentence, **more):
    """The launcher's one line. The program may not be runnable here (a foreign loader)."""
    result = tree.run("-o", "/dev/null", program, **more)
    equal([line for line in result.stderr.splitlines() if "note:" in line],
          [f"taskwatch: note: {program} {sentence}"] if sentence else [])


def for_everybody(tree):
    """An installed tree, of copies, that any user can read. -> its launcher"""
    prefix = os.path.join(tree.work, "usr")
    for folder in ("bin", "lib/taskwatch"):
        os.makedirs(os.path.join(prefix, folder))
    for source, to in ((tree.launcher, "bin/taskwatch"), (tree.library, "lib/libtaskwatch.so"),
                       (tree.build + "/tools/taskwatch-info", "lib/taskwatch/taskwatch-info")):
        shutil.copy(source, os.path.join(prefix, to))
    for folder in (os.path.dirname(tree.work), tree.work):
        os.chmod(folder, 0o755)
    return os.path.join(prefix, "bin", "taskwatch")


def needs_root():
    if os.geteuid() != 0:
        raise Skip("needs root to make a program that gains privileges, and another user to run it")


@test("--doctor: a program that will be watched")
def _(tree):
    program = tree.compile("plain", MAIN)
    diagnosis(tree, program, f"{program} will be watched\n  {this_program(tree, program)}\n" + WATCHED, 0)
    noted_at_start(tree, program, "")
    # PATH is searched, arguments and other options are no matter.
    result = tree.run("-q", "--doctor", "--max-tasks=3", "--", "true", "--help")
    equal((result.stdout.splitlines()[0], result.returncode), (result.stdout.split()[0] + " will be watched", 0))


@test("--doctor runs nothing and writes no file")
def _(tree):
    tree.file("script", "#!/bin/sh\necho ran >ran\n", 0o755)
    equal(tree.run("--doctor", "-o", "out", "./script").returncode, 0)
    equal(sorted(os.listdir(tree.work)), ["script"])


@test("--doctor: a statically linked program")
def _(tree):
    program = tree.compile("still", MAIN, "-static")
    sentence = "cannot be watched: it is statically linked; what it starts can be"
    diagnosis(tree, program, f"{program} {sentence}\n  {program} is a 64-bit x86-64 program, statically linked\n"
              "  seen:     its start and its end, if what starts it is watched; if taskwatch starts it, programs that "
              "it starts, as adopted tasks\n  not seen: what it does itself; its children before they execute a program\n", 1)
    noted_at_start(tree, program, sentence)


@test("--doctor: what it says of a static program's children is true")
def _(tree):
    program = tree.compile("starter", "#include <unistd.h>\n#include <sys/wait.h>\nint main(void) {\n"
                           "if (fork() == 0) { execl(\"/bin/true\", \"true\", (char *)0); _exit(1); }\n"
                           "return wait(0) < 0; }\n", "-static")
    result = tree.run("-q", "--json", "-o", "-", "sh", "-c", f"{program}; :")
    lines = [line for line in result.stdout.splitlines() if f'"path":"{program}"' in line]
    holds(any('"event":"exec"' in line and '"before":true' in line for line in lines), result.stdout)
    # Out of its LD_PRELOAD: it may exec what would print an error (R8).
    holds('"path":"/bin/true"' not in result.stdout, result.stdout)
    result = tree.run("-q", "--json", "-o", "-", program)
    lines = [line for line in result.stdout.splitlines() if '"path":"/bin/true"' in line]
    holds(len(lines) == 1 and '"adopted":true' in lines[0], result.stdout)


@test("--doctor: programs that gain privileges, for the user who asks")
def _(tree):
    needs_root()
    launcher = for_everybody(tree)
    kinds = {"set-user-ID root": lambda p: os.chmod(p, 0o4755),
             "set-group-ID root": lambda p: os.chmod(p, 0o2755),
             "set-user-ID root, set-group-ID root": lambda p: os.chmod(p, 0o6755),
             "file capabilities": lambda p: os.setxattr(
                 p, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))}
    for number, (privileges, give) in enumerate(kinds.items()):
        program = tree.compile(f"raised{number}", MAIN)
        give(program)
        file = f"  {this_program(tree, program)}, {privileges}\n"
        diagnosis(tree, program, f"{program} will be watched\n{file}{WATCHED}", 0)  # root gains nothing
        sentence = f"cannot be watched: it gains privileges when it starts ({privileges})"
        more = {"launcher": launcher, "user": NOBODY, "group": NOBODY, "extra_groups": []}
        diagnosis(tree, program, f"{program} {sentence}\n{file}{UNSEEN}: ld.so takes LD_PRELOAD away\n", 1, **more)
        noted_at_start(tree, program, sentence, **more)


@test("--doctor: a program that cannot be read")
def _(tree):
    needs_root()
    launcher = for_everybody(tree)
    program = tree.compile("hidden", MAIN)
    os.chmod(program, 0o711)
    sentence = "is taken to be watched: it cannot be read (Permission denied)"
    more = {"launcher": launcher, "user": NOBODY, "group": NOBODY, "extra_groups": []}
    diagnosis(tree, program, f"{program} {sentence}\n  {program} is not readable\n"
              "  seen:     what it does, unless it is statically linked or for another machine or libc\n"
              "  not seen: what these are: nobody but its owner can tell\n", 1, **more)
    noted_at_start(tree, program, sentence, **more)


@test("--doctor: a 32-bit program")
def _(tree):
    program = tree.compile("narrow", MAIN, "-m32")
    sentence = "cannot be watched: it is 32-bit i386, the library 64-bit x86-64"
    diagnosis(tree, program, f"{program} {sentence}\n  {program} is a 32-bit i386 program, loaded by "
              f"{loader_of(tree, program)}\n{UNSEEN}\n", 1)
    noted_at_start(tree, program, sentence)


@test("a 32-bit program in a watched tree: ld.so prints no error, in whichever way it was started")
def _(tree):
    program = tree.compile("narrow", MAIN, "-m32")
    script = f"{program} && ({program}; exec {program}) && echo $({program}) done"
    for shell in ("bash", "dash"):
        result = tree.run("-o", "trace", shell, "-c", script)
        equal((result.stdout, result.stderr, result.returncode),
              ("done\n", "taskwatch: 4 programs could not be watched (narrow x4)\n", 0))
    spawner = tree.compile("spawner", f"""
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
extern char **environ;
int main(void)
{{
    char *argv[] = {{"narrow", 0}};
    pid_t child;
    if (posix_spawn(&child, "{program}", 0, 0, argv, environ) || waitpid(child, 0, 0) != child) return 1;
    return system("{program}") || pclose(popen("{program}", "r"));
}}
""")
    result = tree.run("-o", "trace", spawner)
    equal((result.stdout, result.stderr, result.returncode),
          ("", "taskwatch: 3 programs could not be watched (narrow x3)\n", 0))


@test("--doctor: a program for another libc")
def _(tree):
    loader = tree.file("ld-musl-x86_64.so.1", "no loader", 0o755)
    program = tree.compile("other", MAIN, f"-Wl,--dynamic-linker={loader}")
    sentence = f"cannot be watched: it is loaded by {loader}, which is not glibc's"
    diagnosis(tree, program, f"{program} {sentence}\n  {program} is a 64-bit x86-64 program, loaded by {loader}\n"
              f"{UNSEEN}\n", 1)
    noted_at_start(tree, program, sentence)


@test("--doctor: Go's programs, known by the note of their build id")
def _(tree):
    program = tree.compile("go", GO_NOTE + MAIN)
    sentence = "is watched in part: Go's runtime makes its system calls itself"
    diagnosis(tree, program, f"{program} {sentence}\n  " + this_program(tree, program).replace("program", "Go program")
              + "\n  seen:     its end; tasks of C code in it; programs that it starts, as adopted tasks\n"
              "  not seen: tasks that Go code makes, before they execute a program; changed ids\n", 1)
    noted_at_start(tree, program, sentence)
    program = tree.compile("still-go", GO_NOTE + MAIN, "-static")
    result = tree.run("--doctor", program)
    equal((result.stdout.splitlines()[1], result.returncode),
          (f"  {program} is a 64-bit x86-64 Go program, statically linked", 1))


@test("--doctor: programs that were built with a sanitizer; they run as without us")
def _(tree):
    text = """#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *run(void *argument) { return argument; }
int main(void)
{
    pthread_t thread;
    int status, value = 5;
    if (pthread_create(&thread, 0, run, 0) || pthread_join(thread, 0)) return 1;
    pid_t child = fork();
    if (child == 0) _exit(value);
    if (waitpid(child, &status, 0) != child) return 1;
    printf("%d %d\\n", WEXITSTATUS(status), WEXITSTATUS(system("exit 3")));
    return 0;
}
"""
    for compiler, flag, name in (
            ("gcc", "address", "AddressSanitizer"), ("gcc", "thread", "ThreadSanitizer"),
            ("gcc", "leak", "LeakSanitizer"), ("gcc", "undefined", "UndefinedBehaviorSanitizer"),
            ("clang", "address", "AddressSanitizer"), ("clang", "thread", "ThreadSanitizer"),
            ("clang", "memory", "MemorySanitizer")):
        source = tree.file("checked.c", text)
        program = os.path.join(tree.work, f"{compiler}-{flag}")
        built = tree.bare(compiler, f"-fsanitize={flag}", "-o", program, source)
        if built.returncode:
            raise Skip(f"{compiler} -fsanitize={flag} does not work: {built.stderr.splitlines()[-1]}")
        first = ""
        if compiler == "gcc" and flag == "address":
            runtime = next(w for w in tree.bare("ldd", program).stdout.split() if w.startswith("libasan"))
            first = f"  its runtime {runtime} is named in LD_PRELOAD before the library\n"
        diagnosis(tree, program, f"{program} will be watched\n  {this_program(tree, program)}, built with {name}\n"
                  f"{first}{WATCHED}", 0)
        result = tree.run("-e", "exit", "-o", "trace", program)
        equal((result.stdout, result.stderr, result.returncode), ("5 3\n", "", 0), program)
        with open(os.path.join(tree.work, "trace"), encoding="utf-8") as lines:
            holds(len(lines.readlines()) >= 3, program)


@test("--doctor follows a script to its interpreter, and env to its command")
def _(tree):
    shell = f"  /bin/sh is a 64-bit x86-64 program, loaded by {loader_of(tree, '/bin/sh')}\n"
    inner = tree.file("inner", "#! /bin/sh -e\n", 0o755)
    outer = tree.file("outer", f"#!{inner}\n", 0o755)
    diagnosis(tree, outer, f"{outer} will be watched\n  {outer} is a script for {inner}\n"
              f"  {inner} is a script for /bin/sh\n{shell}{WATCHED}", 0)
    bare = tree.file("bare", "true\n", 0o755)
    diagnosis(tree, bare, f"{bare} will be watched\n  {bare} is neither an ELF file nor a script with '#!': it is given "
              f"to /bin/sh\n{shell}{WATCHED}", 0)
    still = tree.compile("still", MAIN, "-static")
    direct = tree.file("direct", f"#!{still} one two\n", 0o755)
    result = tree.run("--doctor", direct)
    equal((result.stdout.splitlines()[:3], result.returncode),
          ([f"{direct} cannot be watched: it is statically linked; what it starts can be",
            f"  {direct} is a script for {still}", f"  {still} is a 64-bit x86-64 program, statically linked"], 1))
    for line in (f"env {still}", "env still", "env -S A=b still -x"):
        by_env = tree.file("by-env", f"#!/usr/bin/{line}\n", 0o755)
        result = tree.run("--doctor", by_env, env={"PATH": f"{tree.work}:{os.environ['PATH']}"})
        equal((result.stdout.splitlines()[0], result.returncode),
              (f"{by_env} is watched in part: {still}, its interpreter, cannot be watched: it is statically linked; "
               "what it starts can be", 1))


@test("--doctor: 126 and 127 for what cannot be run, with the reason")
def _(tree):
    tree.refused("--doctor", "nosuch", status=127, line="nosuch: No such file or directory")
    plain = tree.file("plain")
    tree.refused("--doctor", plain, status=126, line=f"{plain}: Permission denied")
    script = tree.file("script", "#!/no/such/shell\n", 0o755)
    tree.refused("--doctor", script, status=127,
                 line=f"{script}: its interpreter /no/such/shell: No such file or directory")
    script = tree.file("script2", f"#!{plain}\n", 0o755)
    tree.refused("--doctor", script, status=126, line=f"{script}: its interpreter {plain}: Permission denied")
    loop = os.path.join(tree.work, "loop")
    tree.refused("--doctor", tree.file("loop", f"#!{loop}\n", 0o755), status=126,
                 line=f"{loop}: Too many levels of symbolic links")
    program = tree.compile("lost", MAIN, "-Wl,--dynamic-linker=/no/such/ld-linux.so")
    tree.refused("--doctor", program, status=127,
                 line=f"{program}: its loader /no/such/ld-linux.so: No such file or directory")
    part = tree.compile("part.o", MAIN, "-c")
    os.chmod(part, 0o755)
    tree.refused("--doctor", part, status=126, line=f"{part}: Exec format error")
    tree.refused("--doctor", status=125, line="no program is named; see taskwatch --help")


@test("--doctor: broken files are judged, never crashed on")
def _(tree):
    with open(tree.compile("whole", MAIN), "rb") as stream:
        whole = stream.read()
    for length in (4, 16, 52, 63, 64, 100, 600, 4000, len(whole) - 900):
        path = os.path.join(tree.work, "cut")
        with open(path, "wb") as stream:
            stream.write(whole[:length])
        os.chmod(path, 0o755)
        holds(tree.run("--doctor", path).returncode in (0, 1, 126, 127), length)
    for at in range(0, 64):
        with open(path, "wb") as stream:
            stream.write(whole[:at] + b"\xff" + whole[at + 1:])
        result = subprocess.run([tree.build + "/tools/taskwatch-info", "doctor", path, tree.library],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        holds(result.returncode in (0, 1, 126, 127), f"byte {at}: {result.returncode}")


@test("--doctor: TASKWATCH_DISABLE is told, and is status 1")
def _(tree):
    result = tree.run("--doctor", "true", env={"TASKWATCH_DISABLE": "1"})
    equal((result.stderr, result.returncode),
          ("taskwatch: note: TASKWATCH_DISABLE is set: nothing is watched\n", 1))
