#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The invariant's own test, TAP: a session that keeps it, and the same session broken in one way each."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import invariant  # noqa: E402
from invariant import Kills, Life, Told  # noqa: E402

MS = 1_000_000
ROOT = 100


class Session:
    """Three tasks of the root: 1 exits with 3, 2 is a thread of 1, 4 is killed and told by its parent's wait."""

    def __init__(self):
        self.now = 0
        self.told = {}
        self.waited = []
        self.lives = {}
        self.kills = []
        self.tell(9, "exec", 100, flags={"adopted"})
        self.process(1, 101, 3 << 8)
        self.thread(2, 102, 101)
        self.process(4, 104, 9, killed=True)
        self.tell(9, "exit", 100, status=0)
        self.tell(9, "free", 100)
        self.live(100, 100, 1, 0, 0)

    def tell(self, id_, event, pid, tgid=None, flags=(), status=None):
        self.now += MS
        self.told.setdefault(id_, []).append(
            Told(event, set(flags), pid, tgid or pid, ROOT, ROOT, status, self.now, len(self.told.get(id_, [])) + 1, True, self.now))

    def live(self, pid, tgid, parent, begin, status):
        life = Life(pid, tgid, parent, begin)
        life.exits.append((self.now, status))
        self.lives.setdefault(pid, []).append(life)

    def process(self, id_, pid, status, killed=False):
        self.tell(id_, "init", 0)
        begin = self.now
        self.tell(id_, "clone", pid)
        if killed:
            self.kills.append((self.now, pid, status))
        flags = {"on_behalf"} if killed else ()
        self.tell(id_, "exit", pid, flags=flags, status=status)
        self.tell(id_, "free", pid, flags=flags)
        self.live(pid, pid, ROOT, begin, status)
        self.waited.append((self.now + 1, pid, status))

    def thread(self, id_, tid, tgid):
        self.tell(id_, "init", 0, tgid)
        begin = self.now
        for event in ("clone", "exit", "free"):
            self.tell(id_, event, tid, tgid, status=0 if event == "exit" else None)
        self.live(tid, tgid, ROOT, begin, 0)

    def record(self, id_, event):
        return next(t for t in self.told[id_] if t.event == event)

    def replace(self, id_, event, **change):
        self.told[id_] = [t._replace(**change) if t.event == event else t for t in self.told[id_]]

    def repeat(self, id_, event, **change):
        t = self.record(id_, event)
        at = self.told[id_].index(t) + 1
        self.told[id_].insert(at, t._replace(cell=None, **change))

    def again(self, by_one_who_died):
        """FREE of task 4, first called by a process that then ended, or by one that did not."""
        self.told[4] = [t._replace(process=104 if by_one_who_died else ROOT) if t.event == "free" else t for t in self.told[4]]
        self.repeat(4, "free", flags={"on_behalf", "again"}, time=self.record(4, "free").time + MS)
        if by_one_who_died:
            self.lives[104][0].exits = [(self.record(4, "free").time, 9)]
        else:
            self.lives[ROOT][0].exits = [(self.now + 1000 * MS, 0)]

    def violations(self):
        kernel = invariant.Kernel.__new__(invariant.Kernel)
        kernel.lives, kernel.groups, kernel.root = invariant.collections.defaultdict(list), invariant.collections.defaultdict(list), ROOT
        kernel.count = sum(map(len, self.lives.values()))
        kernel.lives.update(self.lives)
        return invariant.Judge({"trace": self.told, "journal": self.told}, kernel, Kills(entries=self.kills), self.waited).judge()


def remove(id_, event):
    return lambda s: s.told[id_].remove(s.record(id_, event))


def set_kernel(pid, status):
    def change(s):
        life = s.lives[pid][0]
        life.exits = [(life.exits[0][0], status)]
    return change


def both(*changes):
    return lambda s: [change(s) for change in changes]


def thread_cut_off(told, late, status):
    """Its creator told INIT, and its process was killed: of the thread's end the kernel speaks `late` afterwards."""
    def change(s):
        s.lives[101][0].exits = [(s.now, 9)]
        s.kills.append((s.now - 5 * MS, 101, 9))
        s.lives[102][0].exits = [(s.now + late, status)]
        s.told[2] = [s.record(2, "init"), s.record(2, "free")]
        if not told:
            s.told.pop(2)
    return change


def killed_late(s):
    s.again(True)
    s.lives[104][0].exits = [(s.record(4, "free").time + 900 * MS, 9)]
    s.kills.append((s.record(4, "free").time, 104, 9))


def cut_off_and_reused(s):
    """Its creator was killed before CLONE; its end is told when its pid has been given to task 30."""
    s.told[4] = [t for t in s.told[4] if t.event != "clone"]
    reused = s.record(4, "exit").time - MS // 2
    s.lives[104][0].exits = [(reused - 1000, 9)]
    for event in ("init", "clone", "exit", "free"):
        s.tell(30, event, 0 if event == "init" else 104, status=0 if event == "exit" else None)
    s.live(104, 104, ROOT, reused, 0)
    s.told[30] = [t._replace(time=reused + 1000 * n) for n, t in enumerate(s.told[30])]


def swapped(s):
    told = s.told[1]
    told[-1], told[-2] = told[-2], told[-1]


KEPT = {
    "as it is": lambda s: None,
    "FREE again, flagged, after a kill": lambda s: s.again(True),
    "FREE again, flagged, by one whose end the kernel tells late": killed_late,
    "a thread cut off before CLONE": thread_cut_off(True, 10 * MS, 9),
    "a thread cut off before CLONE, whose end the kernel tells late": thread_cut_off(True, 900 * MS, 9),
    "a CLONE cut off, and its pid another's when its end is told": cut_off_and_reused,
    "FREE flagged alone": lambda s: s.replace(4, "free", flags={"on_behalf", "again"}),
    "killed after it had told its EXIT, by the log": both(set_kernel(101, 9), lambda s: s.kills.append((s.now - 5 * MS, 101, 9))),
    "INIT cut off, nothing made": lambda s: s.told.update({20: [s.record(1, "free")._replace(cell=1)]}),
}
BROKEN = {
    "a FREE is missing": remove(1, "free"),
    "the FREE of a killed task is missing": remove(4, "free"),
    "the FREE of a thread is missing": remove(2, "free"),
    "an EXIT is missing": remove(1, "exit"),
    "a CLONE without INIT": remove(1, "init"),
    "FREE twice, not flagged": lambda s: s.repeat(1, "free"),
    "EXIT twice, not flagged": lambda s: s.repeat(1, "exit"),
    "INIT twice": lambda s: s.repeat(1, "init"),
    "CLONE twice, not flagged": lambda s: s.repeat(1, "clone"),
    "EXIT after FREE": swapped,
    "another status than the kernel's": set_kernel(101, 4 << 8),
    "a kill that is in nobody's log": set_kernel(101, 9),
    "another status on behalf": set_kernel(104, 15),
    "`again`, and the first one had not ended": lambda s: s.again(False),
    "a life that nobody was told of": lambda s: s.told.pop(1),
    "a thread that nobody was told of": thread_cut_off(False, 10 * MS, 9),
    "a thread without CLONE that ended by itself": thread_cut_off(True, -900 * MS, 0),
    "a task without a life": lambda s: s.lives.pop(101),
    "two tasks with one life": lambda s: s.told.update({30: list(s.told[1])}),
    "a wait that returns before FREE": lambda s: s.waited.__setitem__(0, (s.record(1, "exit").index, 101, 3 << 8)),
    "a status unknown although it was waited for": lambda s: s.replace(4, "exit", status=None),
    "a cell that was not empty": lambda s: s.replace(1, "init", cell=7),
}


def main():
    count = 0
    failed = False
    for name, change, kept in [(n, c, True) for n, c in KEPT.items()] + [(n, c, False) for n, c in BROKEN.items()]:
        session = Session()
        change(session)
        found = session.violations()
        good = not found if kept else bool(found)
        failed |= not good
        count += 1
        print(f"{'ok' if good else 'not ok'} {count} - {'kept' if kept else 'broken'}: {name}")
        for line in found[:2]:
            print("#", line)
    print(f"1..{count}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
