# SPDX-License-Identifier: MIT
"""What must hold of a session in which tasks were killed at any moment. Two watchers tell it (the trace watcher's JSON
Lines and the journal), the kernel's process events and the killer's log are the witnesses.

For each watcher and each task:
  INIT at most once; FREE for each INIT, once, or once more and flagged `again`; nothing after it
  EXIT before FREE, for every task that lived; FREE before a wait function returns it
  CLONE only after INIT; a task that was met without either says so by `adopted`
  `again` only where the one who was called before has ended
For each task that lived: the kernel has this life and the status that was told, but where
  the task was killed after EXIT had told what it asked for: the killer's log has that signal
  a thread was cut off by its process's end or exec: then one of its process's statuses
  nobody could learn it (told as unknown)
For each life of the kernel's: a task, but where its creator and it were killed before CLONE (a thread: with its process)."""
import bisect
import collections
import json
import struct

Told = collections.namedtuple("Told", "event flags pid tgid by process status time cell complete index")
WAITED = 0x100
EVENTS = {1: "init", 2: "clone", 3: "exec", 4: "uid", 5: "gid", 0xFFFE: "exit", 0xFFFF: "free"}
BITS = {0x10000: "on_behalf", 0x20000: "again", 0x40000: "adopted", 0x100000: "stopped", 0x200000: "before",
        0x400000: "failed", 0x800000: "unknown"}
ENTRY = struct.Struct("<3I2i1i2i2Q2IQ")
PAGE = 4096
# An event of the kernel's is stamped when it is sent: an exit after the parent was told, and then its sender may have to wait.
MOMENT, LATE = 2_000_000, 200_000_000


# --- reading

def read_record(line):
    """Of a line that a killed writer has torn the rest does not parse; the next writer's record may stand behind it."""
    try:
        return json.loads(line)
    except ValueError:
        return json.loads(line[max(line.rfind('{"v":1,'), 0):])


def read_trace(path):
    """Tasks by id. Torn lines are skipped."""
    tasks, torn = collections.OrderedDict(), 0
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        for index, line in enumerate(stream):
            try:
                r = read_record(line)
                if r["event"] == "lost":
                    torn += r["n"]
                    continue
                flags = {name for name in ("on_behalf", "again", "adopted", "before", "failed", "vetoed", "refused") if name in r}
                if r["event"] == "exit" and r["status"] is None:
                    flags.add("unknown")
                told = Told(r["event"], flags, r["pid"], r["tgid"], r["by"], None, r.get("status"), r["mono"], None, True, index)
                tasks.setdefault(r["task"], []).append(told)
            except (ValueError, KeyError):
                torn += 1
    return tasks, torn


def read_journal(path):
    """Tasks by id; what wait functions have returned, as (index, pid, status); entries that a kill cut off."""
    tasks, waited = collections.OrderedDict(), []
    with open(path, "rb") as stream:
        capacity, count = struct.unpack("<2I", stream.read(8))
        assert count <= capacity, f"{count} callbacks, {capacity} fit"
        stream.seek(PAGE)
        data = stream.read(count * ENTRY.size)
    holes = 0
    for index, entry in enumerate(ENTRY.iter_unpack(data)):
        state, event, flags, pid, tgid, process, status, error, id_, time, cell, _context, _ = entry
        if state == 0:
            holes += 1
            continue
        if event == WAITED:
            waited.append((index, pid, status))
            continue
        names = {name for bit, name in BITS.items() if flags & bit}
        if error and EVENTS[event] == "free":
            names.add("refused")
        tasks.setdefault(id_, []).append(
            Told(EVENTS[event], names, pid, tgid, None, process, None if "unknown" in names else status, time, cell,
                 state == 2, index))
    return tasks, waited, holes


class Life:
    def __init__(self, pid, tgid, parent, time):
        self.pid, self.tgid, self.parent, self.time = pid, tgid, parent, time
        self.exits = []  # (time, status); a process's leader has more if threads execed
        self.task = None

    @property
    def is_thread(self):
        return self.pid != self.tgid

    def __repr__(self):
        return f"{'thread' if self.is_thread else 'process'} {self.pid}/{self.tgid}"


class Kernel:
    def __init__(self, path):
        self.lives = collections.defaultdict(list)
        exits = collections.defaultdict(list)
        self.groups = collections.defaultdict(list)  # by process; pids are reused, so times decide
        self.root, self.count = 0, 0
        with open(path, encoding="ascii") as stream:
            for line in stream:
                kind, *rest = line.split()
                rest = [int(number) for number in rest]
                if kind == "root":
                    self.root = rest[0]
                elif kind == "fork":
                    self.lives[rest[0]].append(Life(rest[0], rest[1], rest[3], rest[4]))
                    self.count += 1
                elif kind == "exit":
                    exits[rest[0]].append((rest[4], rest[2]))
        for pid, lives in self.lives.items():
            lives.sort(key=lambda life: life.time)
            self._share(lives, sorted(exits[pid]))

    @staticmethod
    def _share(lives, exits):
        """A thread that execs has no exit under its own pid, its process's leader has one more. And the event of an exit may
        come after the pid has been given to the next."""
        for n, life in enumerate(lives):
            until = lives[n + 1].time if n + 1 < len(lives) else float("inf")
            while exits and exits[0][0] < until:
                life.exits.append(exits.pop(0))
            if not life.exits and exits and (not life.is_thread or len(exits) >= len(lives) - n):
                life.exits.append(exits.pop(0))

    def leave_out_supervisor(self, program):
        """The launcher's process, and what it makes beside the program, are no tasks of the session."""
        for lives in self.lives.values():
            for life in lives:
                if life.pid == self.root or life.parent == self.root and life.pid != program:
                    life.task = "the supervisor"

    def life(self, pid, time):
        """The life that has this pid at that time. A moment of tolerance: the event is stamped when it is sent."""
        lives = self.lives.get(pid, [])
        n = bisect.bisect_right([life.time for life in lives], time + 200_000) - 1
        return lives[n] if n >= 0 else None

    def first_life(self, pid, since):
        """The first life with this pid that began then or later. None: there is none."""
        return next((life for life in self.lives.get(pid, []) if life.time >= since - 200_000), None)

    def process(self, tgid):
        """All lives of the processes that had this pid."""
        if not self.groups:
            for lives in self.lives.values():
                for each in lives:
                    self.groups[each.tgid].append(each)
        return self.groups[tgid]

    def others(self, life):
        """The statuses with which the other tasks of its process ended."""
        leader = self.life(life.tgid, life.time)
        since = leader.time if leader else life.time
        next_leader = min((each.time for each in self.lives.get(life.tgid, ()) if each.time > since), default=float("inf"))
        return {status for each in self.process(life.tgid) if each is not life and since <= each.time < next_leader
                for _, status in each.exits}


class Kills:
    def __init__(self, path=None, entries=()):
        self.by_pid = collections.defaultdict(list)
        self.count = 0
        if path:
            with open(path, encoding="ascii") as stream:
                entries = [map(int, line.split()) for line in stream if line.endswith("\n")]
        for time, pid, number in entries:
            self.by_pid[pid].append((time, number))
            self.count += 1

    def hit(self, pid, since=0, until=float("inf"), number=None):
        return any(since <= time <= until and number in (None, sent) and sent not in (18, 19)
                   for time, sent in self.by_pid.get(pid, ()))


# --- judging

def sequence(told):
    return " ".join("+".join([t.event, *sorted(t.flags)]) for t in told)


class Judge:
    def __init__(self, witnesses, kernel=None, kills=None, waited=()):
        """witnesses: {name: tasks}; `waited` is the journal's. Without kernel and kills what they explain is not looked at."""
        self.witnesses, self.kernel, self.kills, self.waited = witnesses, kernel, kills or Kills(), waited
        self.violations = []
        self.figures = collections.Counter()

    def judge(self):
        for name, tasks in self.witnesses.items():
            for id_, told in tasks.items():
                self._life(name, id_, told)
        if self.kernel:
            self._kernel()
        self._waits()
        return self.violations

    def _wrong(self, what):
        self.violations.append(what)

    def _life(self, watcher, id_, told):
        events = [t.event for t in told]
        what = f"{watcher}: task {id_} (pid {max(t.pid for t in told)}): {sequence(told)}"
        plain = collections.Counter(t.event for t in told if "again" not in t.flags)
        again = collections.Counter(t.event for t in told if "again" in t.flags)
        self.figures[watcher + " told"] += len(told)
        self.figures[watcher + " again"] += sum(again.values())
        if plain["init"] > 1 or again["init"] or "init" in events[1:]:
            self._wrong(f"{what}: INIT is not the first word, once")
        if plain["free"] > 1:
            self._wrong(f"{what}: FREE twice, not flagged")
        if plain["exit"] > 1:
            self._wrong(f"{what}: EXIT twice, not flagged")
        if plain["clone"] > 1:
            self._wrong(f"{what}: CLONE twice, not flagged")
        if "free" not in events:
            self._wrong(f"{what}: no FREE")
            return
        first = events.index("free")
        if set(events[first:]) != {"free"}:
            self._wrong(f"{what}: told of after FREE")
        if "exit" in events and set(events[events.index("exit"):first]) != {"exit"}:
            self._wrong(f"{what}: told of between EXIT and FREE")
        lived = "clone" in events or "adopted" in told[0].flags
        if lived and "exit" not in events:
            self._wrong(f"{what}: lived, and no EXIT")
        if "init" not in events and "adopted" not in told[0].flags and lived:
            self._wrong(f"{what}: CLONE without INIT")
        if "init" not in events and not lived:
            self.figures[watcher + " INIT cut off"] += 1
        for n, t in enumerate(told):
            if "again" in t.flags and self.kernel:
                self._again(what, t, [e for e in told[:n] if e.event == t.event])
        cells = [t.cell for t in told if t.cell]
        if cells and (cells[0] > 1 and "init" in events or cells != sorted(set(cells))):
            self._wrong(f"{what}: its cell counted {cells}")

    def _again(self, what, t, earlier):
        """Called again: whoever was called before has ended since, alone or with its process."""
        for e in earlier:
            teller = e.process or e.by
            lives = self.kernel.process(teller) + self.kernel.lives.get(teller, [])
            ends = [time for life in lives for time, _ in life.exits]
            # On a busy machine the end of one who was killed is stamped any time later.
            if any(self.kills.hit(pid, until=t.time, number=9) and any(time >= e.time - MOMENT for time in ends)
                   for pid in {teller, *(life.tgid for life in lives)}):
                continue
            if not any(e.time - MOMENT <= time <= t.time + LATE for time in ends):
                self._wrong(f"{what}: `again` by {t.process or t.by}, and {teller}, which was called before, had not ended")

    def _kernel(self):
        """By the first witness's records, and the second's where the first has none."""
        names = list(self.witnesses)
        ids = list(dict.fromkeys(id_ for name in names for id_ in self.witnesses[name]))
        for id_ in ids:
            self._status(id_, [self.witnesses[name].get(id_, []) for name in names])
        for lives in self.kernel.lives.values():
            for life in lives:
                if life.task is None:
                    self._untold(life)
        self.figures["lives"] = self.kernel.count
        self.figures["kills"] = self.kills.count

    def _untold(self, life):
        ends = [time for time, _ in life.exits]
        end = max(ends) if ends else float("inf")
        if life.is_thread:
            ended = [exit for other in self.kernel.process(life.tgid) if other is not life for exit in other.exits]
            # At the same time; or with what only the end of a process gives to its threads, which a busy machine spreads.
            status = life.exits[-1][1] if life.exits else 0
            cut = any(abs(time - end) < LATE or status and status == its for time, its in ended)
            if cut and self.figures["thread cut off before CLONE"] < self.figures["never lived"]:
                self.figures["thread cut off before CLONE"] += 1
                return
        if self.kills.hit(life.tgid, life.time - 10**9, end + 10**8) and self.kills.hit(life.parent, life.time - 10**9, end + 10**9):
            self.figures["creator and child killed before CLONE"] += 1
        else:
            self._wrong(f"kernel: {life} of {life.parent}, {[hex(s) for _, s in life.exits]}: nobody was told of it")

    def _status(self, id_, told_by):
        births = [t for told in told_by for t in told if t.event == "clone"]
        if not births:
            births = [t for told in told_by for t in told if "adopted" in t.flags or t.event == "exit" and t.pid][:1]
            if births and births[0].event == "exit":
                # Its creator was killed before it could tell CLONE.
                self.figures["CLONE cut off"] += 1
        if not births:
            self.figures["never lived"] += 1
            return
        life = self.kernel.life(births[0].pid, births[0].time)
        inits = [t.time for told in told_by for t in told if t.event == "init"]
        if births[0].event == "exit" and inits:
            # Told when the pid may be another's already: it is the first who got it after INIT.
            life = self.kernel.first_life(births[0].pid, min(inits)) or life
        what = f"task {id_} (pid {births[0].pid}): {sequence(told_by[0] or told_by[-1])}"
        if life is None:
            self._wrong(f"{what}: the kernel has no such life")
            return
        if life.task is not None:
            self._wrong(f"{what}: its life is task {life.task}'s too")
        life.task = id_
        for told in told_by:
            ends = [t for t in told if t.event == "exit"]
            if ends:
                self._end(id_, what, life, ends, told)

    def _end(self, id_, what, life, ends, told):
        moved = ends[-1].pid != life.pid
        if moved:
            life = self.kernel.life(ends[-1].pid, life.time) or life
        statuses = [status for _, status in life.exits]
        if not statuses and not life.is_thread:
            self._wrong(f"{what}: the kernel has not seen it end")
            return
        for end in ends:
            behalf = "on_behalf" in end.flags
            if end.status is None:
                self.figures["status unknown"] += 1
                if not behalf:
                    self._wrong(f"{what}: status unknown, and it told itself")
            elif statuses and end.status == statuses[-1]:
                self.figures["status as the kernel's"] += 1
            elif self._cut_off(life, end, statuses, behalf):
                self.figures["cut off with its process"] += 1
            elif self._killed_after(life, end, statuses):
                self.figures["killed after EXIT"] += 1
            else:
                self._wrong(f"{what}: status {end.status:#x} told by {end.by or end.process}"
                            f"{' on behalf' if behalf else ''}, the kernel's {[hex(s) for s in statuses]}")

    def _cut_off(self, life, end, statuses, behalf):
        """A thread told its own end and was ended by its process's before the kernel heard of it; or an ender or a new
        image told it, whose own status it is (0: an exec's)."""
        others = self.kernel.others(life)
        if not behalf:
            return life.is_thread and bool(statuses) and statuses[-1] in others
        alone = not life.is_thread and not others and len(statuses) < 2
        return not alone and (end.status in others or end.status == 0)

    def _waits(self):
        """A wait function returns a child when FREE has been told, and its status."""
        births = collections.defaultdict(list)  # pid -> (index, task)
        tasks = self.witnesses.get("journal", {})
        for id_, told in tasks.items():
            for t in told:
                if t.event == "clone":
                    births[t.pid].append((t.index, id_))
                    break
        for list_ in births.values():
            list_.sort()
        for index, pid, status in self.waited:
            n = bisect.bisect_left(births[pid], (index, 0)) - 1
            if n < 0:
                self.figures["waited for, CLONE cut off"] += 1
                continue
            id_ = births[pid][n][1]
            frees = [t for t in tasks[id_] if t.event == "free" and t.index < index]
            ends = [t for t in tasks[id_] if t.event == "exit" and t.index < index]
            self.figures["waited for"] += 1
            if not frees:
                self._wrong(f"journal: task {id_} (pid {pid}) was waited for before FREE: {sequence(tasks[id_])}")
            elif ends and ends[-1].status is None:
                self._wrong(f"journal: task {id_} (pid {pid}) was waited for, {status:#x}, and its status told as unknown: "
                            f"{sequence(tasks[id_])}")

    def _killed_after(self, life, end, statuses):
        """It asked for one end and got another: the signal is in the killer's log, for its process."""
        got = {status & 0x7f for status in self.kernel.others(life) | set(statuses)}
        return any(signal and self.kills.hit(life.tgid, end.time - 5 * 10**8, number=signal) for signal in got)
