# SPDX-License-Identifier: MIT
"""The kernel's side: what `oracle` has recorded, as lives. A life is one task from its fork to its exit; a pid
can have several, one after the other, so a life is known by its pid and the number of its birth.

An exec by a thread that is not the leader moves a task: the leader exits, the thread goes on under the
leader's pid, and its own pid never exits. In the stream that is an exit, an exec and a second exit of one pid
(an exit may come after the exec: the kernel sends it when the task is gone already)."""
import collections

Event = collections.namedtuple("Event", "kind pid tgid a b")  # a, b: fork parent's pid, tgid; ids; exit status


class Life:
    def __init__(self, fork):
        self.fork, self.pid, self.tgid = fork, fork.pid, fork.tgid
        self.events = []  # exec, uid, gid
        self.exit = None
        self.took_over = False  # as a thread it became its process's leader
        self.overtaken = False  # as a leader it was ended by its thread's exec

    @property
    def is_thread(self):
        return self.pid != self.tgid

    def __repr__(self):
        return f"{'thread' if self.is_thread else 'process'} {self.pid}/{self.tgid}"


class Recording:
    """lives: in the order of their births. root: the life that the oracle itself began. status: raw."""

    def __init__(self, lines):
        self.lives, self.root, self.status = [], None, None
        self.open = collections.defaultdict(list)  # pid -> lives that have not ended, oldest first
        self.rest = collections.defaultdict(list)  # pid -> events of a pid whose only life has ended
        self.last = {}
        root = 0
        for line in lines:
            kind, *numbers = line.split()
            numbers = [int(number) for number in numbers]
            if kind == "root":
                root = numbers[0]
            elif kind == "status":
                self.status = numbers[0]
            else:
                self._take(Event(kind, *(numbers + [0, 0])[:4]), root)
        for pid, events in self.rest.items():
            self._hand_over(self.last[pid], events)

    def _take(self, event, root):
        pid = event.pid
        if event.kind == "fork":
            if pid in self.rest:
                self._hand_over(self.last[pid], self.rest.pop(pid))
            life = Life(event)
            self.open[pid].append(life)
            self.last[pid] = life
            self.lives.append(life)
            if pid == root and self.root is None:
                self.root = life
        elif event.kind == "exit":
            if self.open[pid]:
                life = self.open[pid].pop(0)
                life.exit = event
            else:
                self.rest[pid].append(event)
        elif self.open[pid]:
            self.open[pid][-1].events.append(event)
        else:
            self.rest[pid].append(event)

    def _hand_over(self, leader, events):
        """More was told about a pid than its life holds: threads that execed went on as it. One hand-over for each
        exit too many; an exec that came before the leader's exit is the hand-over if none follows it."""
        takers = [life for life in self.lives if life.is_thread and life.tgid == leader.pid and life.exit is None
                  and not life.took_over]
        while events and takers:
            if not any(event.kind == "exec" for event in events):
                moved = [event for event in leader.events if event.kind == "exec"][-1:]
                if moved:
                    at = len(leader.events) - 1 - leader.events[::-1].index(moved[0])
                    events = leader.events[at:] + events
                    leader.events = leader.events[:at]
            taker = takers.pop(0)
            leader.overtaken = taker.took_over = True
            while events:
                event = events.pop(0)
                if event.kind == "exit":
                    taker.exit = event
                    break
                taker.events.append(event)
            leader = taker
        leader.events += events  # nobody to give them to: they will be unexplained
