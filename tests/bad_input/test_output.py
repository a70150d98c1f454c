# SPDX-License-Identifier: MIT
# Where nothing can be written, or not what one thinks: the program does not notice, and no byte of ours is in
# a file of its own.
import json
import os
import resource
import shutil
import sys

from harness import TREE, Skip, ours, read, same, test


def variables(env):
    """The words that begin a session in the middle of a command."""
    return ["/usr/bin/env", *(f"{name}={value}" for name, value in env.items())]


def trace_to(path, events="clone"):
    return f"format=json,events={events},output={path}"


def unusable(path, error):
    return ours(f"watcher 'trace': output: '{path}' is {error}; accepted: a file that can be written, in a "
                "folder that exists; a FIFO that is read")


@test("an output in a folder that does not exist is one line")
def _(bench):
    bench.tree("trace", unusable("/nowhere/trace", "ENOENT"), TRACE=trace_to("/nowhere/trace"))


@test("an output that is a folder is one line")
def _(bench):
    bench.tree("trace", unusable(bench.work, "EISDIR"), TRACE=trace_to(bench.work))


@test("a full device loses records and nothing else")
def _(bench):
    bench.tree("trace", "", TRACE=trace_to("/dev/full"))


def parse(line):
    try:
        return json.loads(line)
    except ValueError:  # torn: a full disk takes the beginning of a record; it counts as lost
        return None


def count_told(lines):
    """Records in the file and records that it says were lost."""
    records = [record for record in map(parse, lines) if record]
    lost = sum(record["n"] for record in records if record["event"] == "lost")
    return sum(record["event"] != "lost" for record in records), lost


@test("a disk that fills up loses records, and tells how many when there is room again")
def _(bench):
    if not shutil.which("unshare"):
        raise Skip("no unshare")
    disk = os.path.join(bench.work, "disk")
    os.mkdir(disk)
    # A mount namespace of its own: nobody else sees the disk, and it is gone with the last process.
    mount = f"mount -t tmpfs -o size=64k none {disk}"
    inside = ["unshare", "-m", "/bin/sh", "-c", mount + ' && exec "$@"', "sh"]
    probe = bench.bare(inside + ["/bin/true"])
    if probe.returncode:
        raise Skip("no private mount: " + probe.stderr.decode().strip())

    loop = "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; "
    script = (f"{loop} cat /dev/zero > {disk}/filler 2>/dev/null; {loop} rm {disk}/filler; {loop} "
              f"cp {disk}/trace .; exit 7")
    # Only the tree itself is under us.
    inside += variables(bench.under("trace", TRACE=trace_to(disk + "/trace")))
    result = bench.bare(inside + ["/bin/sh", "-c", script])
    same((result.stderr, result.stdout, result.returncode), (b"", b"", 7))
    # 150 times true, cat, rm and cp, which is told before it runs.
    written, lost = count_told(read(os.path.join(bench.work, "trace")).splitlines())
    same(written + lost, 153, f"{written} written, {lost} lost")
    same(lost > 0, True, "the disk never was full")


@test("a file size limit of 0 neither kills nor speaks")
def _(bench):
    trace = os.path.join(bench.work, "trace")
    result = bench.run(["/bin/sh", "-c", TREE], bench.under("nosuch:trace", TRACE=trace_to(trace)),
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    # A pipe has no size: the line is written.
    same((result.stderr.decode(), result.stdout, result.returncode), (bench.missing("nosuch"), b"done\n", 7))
    same(read(trace), b"")


@test("a file size limit of 0 for stderr in a file neither kills nor speaks")
def _(bench):
    with open(os.path.join(bench.work, "stderr"), "wb") as stderr:
        result = bench.run(["/bin/sh", "-c", TREE], bench.under("nosuch:trace"), stderr=stderr,
                           preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    same((result.stdout, result.returncode), (b"done\n", 7))
    same(read(stderr.name), b"")


# --- descriptor 2

DATA = "".join(f"line {i}\n" for i in range(51)).encode()


@test("a program's file on descriptor 2 holds the program's bytes only")
def _(bench):
    program = bench.compile("data_on_2")
    bare = bench.bare([program, "bare", "50"])
    same((bare.returncode, read(os.path.join(bench.work, "bare"))), (5, DATA))
    result = bench.run([program, "data", "50"], bench.under("nosuch:trace"))
    same((result.returncode, result.stdout, read(os.path.join(bench.work, "data"))), (5, b"", DATA))
    same(result.stderr.decode().splitlines(True)[0], bench.missing("nosuch"))


@test("the same in mid-tree, where the session's stderr still is somebody's")
def _(bench):
    program = bench.compile("data_on_2")
    result = bench.run(["/bin/sh", "-c", f"{program} data 50; echo $?"],
                       bench.under("nosuch:trace", TRACE="format=json,events=exec"))
    same((result.returncode, result.stdout, read(os.path.join(bench.work, "data"))), (0, b"5\n", DATA))
    first, *records = result.stderr.decode().splitlines(True)
    same(first, bench.missing("nosuch"))
    same([json.loads(record)["path"] for record in records], ["/bin/sh", program] + ["/bin/true"] * 50)


@test("a session that begins without descriptor 2 says nothing anywhere")
def _(bench):
    program = bench.compile("data_on_2")
    session = variables(bench.under("nosuch:trace:stop_from_free"))
    result = bench.bare(["/bin/sh", "-c", 'exec 2>&-; exec "$@"', "sh", *session, program, "data", "50"])
    same((result.returncode, result.stdout, result.stderr), (5, b"", b""))
    same(read(os.path.join(bench.work, "data")), DATA)


@test("a stderr pipe that nobody reads kills no program")
def _(bench):
    reader, writer = os.pipe()
    os.close(reader)
    result = bench.run(["/bin/sh", "-c", TREE], bench.under("nosuch:trace"), stderr=writer)
    os.close(writer)
    same((result.stdout, result.returncode), (b"done\n", 7))


@test("a stderr pipe that is full blocks no program that made it non-blocking")
def _(bench):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        pass
    result = bench.run(["/bin/sh", "-c", TREE], bench.under("nosuch:trace"), stderr=writer)
    os.close(writer)
    os.close(reader)
    same((result.stdout, result.returncode), (b"done\n", 7))


@test("a program still dies of its own SIGPIPE")
def _(bench):
    script = ("import os, signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL); os.system('true'); "
              "os.write(2, b'mine')")
    reader, writer = os.pipe()
    os.close(reader)
    result = bench.run([sys.executable, "-S", "-E", "-c", script], bench.under("nosuch:trace"), stderr=writer)
    os.close(writer)
    same(result.returncode, -13)
