# SPDX-License-Identifier: MIT
# An interactive bash on a terminal: what a user sees of a program must be the same whether the launcher is before it
# or not. Each conversation is held twice, and the two transcripts are compared.
import errno
import os
import pty
import re
import select
import signal
import time

from harness import equal, holds, test

PROMPT = r"@\d+@ "


class Terminal:
    """bash on a pty, `w` being the launcher or nothing. Waits for text, never for time."""

    def __init__(self, tree, launcher):
        self.text, self.seen = "", 0
        words = f"'{tree.launcher}' -q -o /dev/null" if launcher else ""
        tree.file("w", f'#!/bin/sh\nexec {words} "$@"\n', 0o755)
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(tree.work)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ignored by python
            os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"],
                      tree.environment | {"PS1": "@$?@ ", "TERM": "dumb",
                                           "PATH": tree.work + ":" + tree.environment["PATH"]})
        self.expect(PROMPT)
        self.run("ulimit -c 0")

    def expect(self, pattern):
        """Reads until the pattern is seen behind what was expected before."""
        deadline = time.monotonic() + 30
        while not (match := re.compile(pattern).search(self.text, self.seen)):
            if not select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"no {pattern!r} in:\n{self.text}")
            try:
                self.text += os.read(self.master, 4096).decode(errors="replace")
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                raise AssertionError(f"no {pattern!r} before the end of:\n{self.text}") from error
        self.seen = match.end()
        return match

    def type(self, text):
        os.write(self.master, text.encode())

    def run(self, line, until=PROMPT):
        self.type(line + "\n")
        self.expect(re.escape(line.replace("\n", "\r\n")) + r"\r\n")
        return self.expect(until)

    def close(self):
        if self.master is not None:
            os.close(self.master)
            os.waitpid(self.pid, 0)
            self.master = None

    def transcript(self):
        return re.sub(r"\[(\d+)\] \d+", r"[\1] PID", self.text)


def whole(text):
    return text


def in_parts(text):
    """Where a job of the background writes between the shell's lines: failures, jobs and signals, each in order."""
    return [re.findall(pattern, text) for pattern in ("@[1-9][0-9]*@", r"\[1\][^\r]*", r"got \d+")]


def compare(tree, conversation, look=whole):
    transcripts = []
    for launcher in (False, True):
        terminal = Terminal(tree, launcher)
        try:
            conversation(terminal)
        finally:
            terminal.close()
        transcripts.append(look(terminal.transcript()))
    equal(transcripts[1], transcripts[0])
    return transcripts[0]


READY = "w sh -c 'echo rea''dy; exec sleep 1000'"


# Tells each signal, ends with SIGUSR2.
COUNT = """import os, signal
told = {getattr(signal, "SIG" + name) for name in ("INT", "TERM", "HUP", "USR1", "USR2", "CONT")}
signal.pthread_sigmask(signal.SIG_BLOCK, told)
print("ready", flush=True)
number = 0
while number != signal.SIGUSR2:
    number = signal.sigwait(told)
    os.write(1, b"got %d\\n" % number)
"""


@test("on a terminal: ^C ends the program and the shell knows by what")
def _(tree):
    def conversation(terminal):
        terminal.run(READY, "ready")
        terminal.type("\x03")
        terminal.expect("@130@ ")
        terminal.run(READY, "ready")
        terminal.type("\x1c")
        terminal.expect("@131@ ")
    holds("Quit" in compare(tree, conversation))


@test("on a terminal: ^Z stops it, jobs, fg and bg know it")
def _(tree):
    tree.file("count.py", COUNT)

    def conversation(terminal):
        terminal.run("w python3 count.py", "ready")
        terminal.type("\x1a")
        terminal.expect("@148@ ")
        terminal.run("jobs")
        terminal.run("fg", "got 18")
        terminal.type("\x1a")
        terminal.expect("@148@ ")
        terminal.run("bg", "got 18")
        terminal.run("kill -KILL %1; wait %1", "@137@ ")
        terminal.run("jobs")
    compare(tree, conversation, in_parts)


@test("on a terminal: a program that stops itself is continued where it was")
def _(tree):
    def conversation(terminal):
        terminal.run("w sh -c 'kill -STOP $$; echo ba''ck; exit 4'", "Stopped")
        terminal.expect("@147@ ")
        terminal.run("fg", "back\r\n")
        terminal.expect("@4@ ")
        terminal.run("w sh -c 'kill -TSTP $$; exit 5'", "@148@ ")
        terminal.run("fg", "@5@ ")
    compare(tree, conversation)


@test("on a terminal: a signal comes once, sent to the launcher alone or to its group")
def _(tree):
    tree.file("count.py", COUNT)

    def conversation(terminal):
        terminal.run("w python3 count.py", "ready")
        terminal.type("\x03")
        terminal.expect("got 2")
        terminal.type("\x1a")
        terminal.expect("@148@ ")
        terminal.run("bg", "got 18")
        terminal.run("")
        # Not twice the same in a row: a signal that is pending already comes once.
        for number, receiver in ((15, "%1"), (1, "$(jobs -p)"), (10, "-- -$(jobs -p)"), (15, "$(jobs -p)"), (1, "%1"),
                                 (10, "$(jobs -p)"), (2, "%1")):
            terminal.run(f"kill -{number} {receiver}", f"got {number}")
        terminal.run("kill -USR2 $(jobs -p); wait %1", "got 12")
        terminal.run("jobs")
    seen = compare(tree, conversation, in_parts)
    equal(" ".join(seen[2]), "got 2 got 18 got 15 got 1 got 10 got 15 got 1 got 10 got 2 got 12")


@test("on a terminal: a fatal signal is reported as the shell reports it")
def _(tree):
    def conversation(terminal):
        for name, status in (("SEGV", 139), ("TERM", 143), ("KILL", 137), ("PIPE", 141), ("ABRT", 134)):
            terminal.run(f"w sh -c 'kill -{name} $$'", f"@{status}@ ")
    compare(tree, conversation)


@test("on a terminal: it reads what is typed, and is stopped in the background when it reads")
def _(tree):
    def conversation(terminal):
        terminal.run("w cat", "")
        terminal.type("text\n")
        terminal.expect("text\r\ntext\r\n")
        terminal.type("\x04")
        terminal.expect("@0@ ")
        terminal.run("w cat &")
        terminal.run("until jobs -l | grep -q 'Stopped (tty input)'; do :; done")
        terminal.run("fg", "w cat")
        terminal.type("more\n")
        terminal.expect("more\r\nmore\r\n")
        terminal.type("\x04")
        terminal.expect("@0@ ")
    compare(tree, conversation, in_parts)


@test("on a terminal: a shell as the program has its own jobs")
def _(tree):
    tree.file("count.py", COUNT)

    def conversation(terminal):
        terminal.run("w bash --norc --noprofile --noediting -i", PROMPT)
        terminal.run("python3 count.py", "ready")
        terminal.type("\x1a")
        terminal.expect("@148@ ")
        terminal.run("jobs")
        terminal.run("fg", "got 18")
        terminal.type("\x03")
        terminal.expect("got 2")
        terminal.type("\x1a")
        terminal.expect("@148@ ")
        terminal.run("kill -USR2 %1; fg", "got 12")
        terminal.expect("@0@ ")
        terminal.run("exit 3", "@3@ ")
    compare(tree, conversation, in_parts)


@test("on a terminal: when it is hung up, nobody is left")
def _(tree):
    terminal = Terminal(tree, True)
    terminal.run("w sh -c 'echo pid $$ $PPID; exec sleep 1000'", "pid ")
    pids = [os.pidfd_open(int(pid)) for pid in terminal.expect(r"(\d+) (\d+)\r\n").groups()]
    terminal.close()
    for pidfd in pids:
        holds(select.select([pidfd], [], [], 30)[0], "still there")
        os.close(pidfd)
