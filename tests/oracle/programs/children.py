# SPDX-License-Identifier: MIT
"""Children as python makes them: os.fork, subprocess (vfork, and fork with preexec_fn; by threads), posix_spawn,
multiprocessing in its three ways, os.system and os.popen, signals."""
import multiprocessing
import os
import signal
import subprocess
import sys
import threading


def reap(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fork(function):
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    return pid


def double(number):
    return 2 * number


def main():
    for code in range(5):
        assert reap(fork(lambda: os._exit(code))) == code
    assert reap(fork(lambda: os.kill(os.getpid(), signal.SIGKILL))) == -signal.SIGKILL
    assert reap(fork(lambda: reap(fork(lambda: os.execv("/bin/true", ["true"]))))) == 0
    assert reap(fork(lambda: os.execve("/bin/sh", ["sh", "-c", "exit 6"], {}))) == 6

    for close_fds in (True, False):
        assert subprocess.run(["/bin/sh", "-c", "exit 3"], close_fds=close_fds, check=False).returncode == 3
    assert subprocess.run(["/bin/true"], preexec_fn=os.setsid, check=False).returncode == 0
    assert subprocess.run(["/bin/true"], user=65534, group=65534, extra_groups=[], check=False).returncode == 0
    assert subprocess.run("exit 4 | cat; exit 5", shell=True, env={}, check=False).returncode == 5
    assert subprocess.check_output(["sort", "-r"], input=b"a\nb\n") == b"b\na\n"
    try:
        subprocess.run(["/nowhere"], check=False)
        return 1
    except FileNotFoundError:
        pass
    first = subprocess.Popen(["seq", "1000"], stdout=subprocess.PIPE)
    last = subprocess.Popen(["wc", "-l"], stdin=first.stdout, stdout=subprocess.DEVNULL)
    first.stdout.close()
    assert last.wait() == first.wait() == 0
    sleeper = subprocess.Popen(["sleep", "1000"])
    sleeper.terminate()
    assert sleeper.wait() == -signal.SIGTERM

    assert reap(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 8"], os.environ)) == 8
    assert reap(os.posix_spawnp("true", ["true"], {}, setsigdef=[signal.SIGPIPE])) == 0

    threads = [threading.Thread(target=subprocess.run, args=(["/bin/sh", "-c", f"exit {n}"],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(double, range(4)) == [0, 2, 4, 6]
        pool.close()
        pool.join()
    for method in ("spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=double, args=(1,))
        process.start()
        process.join()
        assert process.exitcode == 0

    assert os.system("exit 12") == 12 << 8
    with os.popen("echo a | cat") as pipe:
        assert pipe.read() == "a\n"

    sys.stdout.flush()
    if os.fork() == 0:  # by its own destructors, as the parent
        sys.exit(11)
    assert os.wait()[1] == 11 << 8
    return 23


if __name__ == "__main__":
    sys.exit(main())
