# SPDX-License-Identifier: MIT
"""Our side: the trace watcher's JSON Lines, as tasks, which are known by their id."""
import json


class Task:
    def __init__(self, id):
        self.id = id
        self.records = []
        self.alone = []  # its records in a session of its own

    def of(self, *events):
        return [record for record in self.records if record["event"] in events]

    @property
    def pid(self):
        """At its birth: a thread that execs goes on under its leader's."""
        return next((record["pid"] for record in self.records if record["pid"]), 0)

    @property
    def call(self):
        return next((record["call"] for record in self.of("init", "clone")), "")

    @property
    def adopted(self):
        return not self.of("init", "clone")

    @property
    def vetoed(self):
        return any(record.get("vetoed") for record in self.of("init", "clone"))

    @property
    def refused(self):
        """The kernel refused the creation: INIT and FREE alone."""
        return any("refused" in record for record in self.of("free"))

    def __repr__(self):
        return f"task {self.id} ({'adopted' if self.adopted else self.call}, pid {self.pid})"


class Trace:
    """tasks: by session and id, in the order of their first records. An image that cannot open the session's memory
    any more (its process became another user's) begins a session of its own. What it tells belongs to the task with
    its pid in the session before: `alone` counts these. (A pid that is taken again within so short a run does not
    give up its user as well.)"""

    def __init__(self, lines):
        self.tasks, self.lost, self.broken, self.alone = {}, 0, 0, 0
        for line in lines:
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                self.broken += 1
                continue
            if record["event"] == "lost":
                self.lost += record["n"]
                continue
            key = (record["session"], record["task"])
            self.tasks.setdefault(key, Task(record["task"])).records.append(record)
        self._join_sessions()

    def _join_sessions(self):
        first = next(iter(self.tasks), ("", 0))[0]
        for key in [key for key in self.tasks if key[0] != first and self.tasks[key].adopted]:
            lone = self.tasks[key]
            before = [task for other, task in self.tasks.items() if other[0] == first and task.pid == lone.pid]
            if not before:
                continue
            del self.tasks[key]
            self.alone += 1
            before[-1].alone = lone.records
            # The first session is told of the end too, by whoever waits.
            own = {"exec", "uid", "gid"} | ({"exit", "free"} if not before[-1].of("exit") else set())
            before[-1].records += [record for record in lone.records if record["event"] in own]
