# SPDX-License-Identifier: MIT
# Programs that a preload breaks if it is not careful: with a sanitizer's runtime, in another root, at the
# limit of what exec takes.
import json
import os
import shutil

from harness import Skip, as_root, clang_runtime_folder, outcome, read, same, test


def sanitized_in_mid_tree(bench, compiler, *flags):
    """sh -> sanitized program -> child, made in two ways: as it is without us, and all of them are told."""
    program = bench.compile("sanitized", compiler, ["-g", "-fsanitize=address", *flags])
    words = ["/bin/sh", "-c", f"{program} /bin/sh -c '/bin/echo child; exit 3'; echo $?"]
    trace = os.path.join(bench.work, "trace")
    bare = bench.bare(words)
    same(outcome(bare), (0, b"child\nfork 768\nchild\nposix_spawn 768\n3\n", b""))
    under = bench.run(words, bench.under("trace", TRACE=f"format=json,events=exec,output={trace}"))
    same(outcome(under), outcome(bare))
    same([json.loads(line)["path"] for line in read(trace).splitlines()],
         ["/bin/sh", program] + ["/bin/sh", "/bin/echo"] * 2)

    # Its report is what it is made for.
    overflow = ["/bin/sh", "-c", f"{program} overflow; echo $?"]
    bare = bench.bare(overflow)
    under = bench.run(overflow, bench.under("trace", TRACE=f"output={trace}"))
    same((under.returncode, under.stdout), (bare.returncode, bare.stdout))
    for result in (bare, under):
        same(b"AddressSanitizer: heap-buffer-overflow" in result.stderr, True, result.stderr)


@test("a program of gcc's AddressSanitizer runs in mid-tree")
def _(bench):
    sanitized_in_mid_tree(bench, "gcc")


@test("a program of gcc's AddressSanitizer, linked statically, runs in mid-tree")
def _(bench):
    sanitized_in_mid_tree(bench, "gcc", "-static-libasan")


@test("a program of clang's AddressSanitizer runs in mid-tree")
def _(bench):
    sanitized_in_mid_tree(bench, "clang")


@test("a program of clang's AddressSanitizer, as a shared library, runs in mid-tree")
def _(bench):
    if not shutil.which("clang"):
        raise Skip("no clang")
    sanitized_in_mid_tree(bench, "clang", "-shared-libasan", "-Wl,-rpath," + clang_runtime_folder())


# --- another root

def make_root(bench):
    """A root folder with sh and true and what they need, and nothing of ours."""
    root = os.path.join(bench.work, "root")
    for program in ("/bin/sh", "/bin/true"):
        listing = bench.bare(["ldd", program])
        if listing.returncode:
            raise Skip("no ldd")
        needed = [word for word in listing.stdout.decode().split() if word.startswith("/")]
        for path in [program] + needed:
            target = root + path
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.realpath(path), target)
    return root


@test("exec in a chroot without the library prints no error of the dynamic linker")
def _(bench):
    as_root()
    root = make_root(bench)
    words = ["/bin/sh", "-c", f"chroot {root} /bin/true; echo $?; /bin/true; echo $?"]
    bare = bench.bare(words)
    same(outcome(bare), (0, b"0\n0\n", b""))
    same(outcome(bench.run(words, bench.under("positive_errno"))), outcome(bare))


@test("50 programs in a chroot without the library print nothing")
def _(bench):
    as_root()
    root = make_root(bench)
    script = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; echo $i; exit 6"
    words = ["chroot", root, "/bin/sh", "-c", script]
    same(outcome(bench.bare(words)), (6, b"50\n", b""))
    same(outcome(bench.run(words, bench.under("positive_errno"))), (6, b"50\n", b""))


@test("a configuration error before a chroot is still one line")
def _(bench):
    as_root()
    root = make_root(bench)
    script = f"i=0; while [ $i -lt 25 ]; do chroot {root} /bin/true; i=$((i+1)); done; echo $i"
    words = ["/bin/sh", "-c", script]
    result = bench.run(words, bench.under("nosuch"))
    same((result.returncode, result.stdout, result.stderr.decode()), (0, b"25\n", bench.missing("nosuch")))


# --- the limit of exec

@test("the largest exec with an empty environment is as large as without us")
def _(bench):
    program = bench.compile("largest_exec")
    bare = bench.bare([program])
    same((bare.returncode, bare.stdout.isspace(), bare.stderr), (0, False, b""))
    same(outcome(bench.run([program], bench.under("positive_errno"))), outcome(bare))


@test("the largest exec with an environment of many variables is as large as without us")
def _(bench):
    program = bench.compile("largest_exec")
    bare = bench.bare([program, "700"])
    same((bare.returncode, bare.stderr), (0, b""))
    same(outcome(bench.run([program, "700"], bench.under("positive_errno"))), outcome(bare))
