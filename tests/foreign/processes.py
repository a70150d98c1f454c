# SPDX-License-Identifier: MIT
# What python does with processes: os.fork, subprocess in its ways, multiprocessing, spawn, signals.
import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading


def square(n):
    return n * n


def flush(*words):
    print(*words, flush=True)


def forks():
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    flush("fork:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.write(writer, b"from the child")
        os._exit(0)
    os.close(writer)
    flush("pipe:", os.read(reader, 100), os.wait()[0] == pid)
    os.close(reader)
    pids = []
    for n in range(20):
        pid = os.fork()
        if pid == 0:
            sys.exit(n)
        pids.append(pid)
    flush("many:", sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ)
    flush("spawn:", os.waitid(os.P_PID, pid, os.WEXITED).si_status)
    try:
        os.posix_spawn("/no/such/file", ["file"], {})
    except OSError as error:
        flush("spawn:", error)
    try:
        os.wait()
    except ChildProcessError as error:
        flush(error)


def subprocesses():
    flush(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 3"], capture_output=True, check=False))
    flush(subprocess.check_output(["tr", "a", "b"], input=b"banana"))
    flush(subprocess.run("kill -9 $$", shell=True, check=False).returncode)
    try:
        subprocess.run(["/no/such/file"], check=False)
    except FileNotFoundError as error:
        flush(error)
    try:
        subprocess.run(["sleep", "100"], timeout=0.05, check=False)
    except subprocess.TimeoutExpired as error:
        flush(error.cmd)
    flush(subprocess.run(["sh", "-c", "echo $FOO"], env={"FOO": "bar"}, stdout=subprocess.PIPE, check=False).stdout)
    kwargs = {"preexec_fn": lambda: os.umask(0o22), "start_new_session": True, "close_fds": False}
    flush(subprocess.run(["sh", "-c", "umask"], stdout=subprocess.PIPE, check=False, **kwargs).stdout)
    first = subprocess.Popen(["echo", "chained"], stdout=subprocess.PIPE)
    second = subprocess.Popen(["cat"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    flush(second.communicate()[0], first.wait())
    threads = [threading.Thread(target=subprocess.run, args=(["true"],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flush("threads joined")


def signals():
    seen = []
    signal.signal(signal.SIGCHLD, lambda number, frame: seen.append(number))
    for _ in range(5):
        subprocess.run(["true"], check=True)
    flush("SIGCHLD:", len(seen))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        os._exit(1)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        flush("ignored children leave nothing")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


async def asynchronous():
    process = await asyncio.create_subprocess_exec("sh", "-c", "echo async; exit 2", stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    flush(out, process.returncode)


if __name__ == "__main__":
    forks()
    subprocesses()
    signals()
    asyncio.run(asynchronous())
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            flush(method, pool.map(square, range(10)))
    queue = multiprocessing.Queue()
    worker = multiprocessing.Process(target=queue.put, args=("queued",))
    worker.start()
    flush(queue.get(), worker.join(), worker.exitcode)
    sys.exit(5)
