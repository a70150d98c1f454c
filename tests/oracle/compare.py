# SPDX-License-Identifier: MIT
"""Compares a kernel recording with a trace, event for event, over the tree that the kernel tells.

Every fork (pid, tgid, parent process, creating task), exec, uid, gid and exit (raw status) that the kernel tells
must be in ours exactly once, and nothing of ours may be unknown to the kernel. What the two tell differently by
rule is counted under a name and belongs to neither figure. The rest is unexplained, and there must be none.

  recall     of the kernel's events that are not accounted for, how many ours has
  precision  of our events that are not accounted for, how many the kernel knows
"""
import collections

from result import Result

CLONE_PARENT = 0x8000
NOT_WRAPPED = "threads, not wrapped yet"


class Comparison:
    """`expected`: what the workload says it contains. adopted: tasks that libc or the kernel makes by itself.
    unknown: ends whose status nobody could learn. alone: images that lost the session. wrapped: names of the
    wrapped functions."""

    def __init__(self, recording, trace, wrapped, adopted=0, unknown=0, alone=0):
        self.recording, self.trace, self.wrapped = recording, trace, wrapped
        self.adopted_left, self.unknown_left = adopted, unknown
        self.result = Result()
        self.alone = alone
        self.reaper = recording.root.fork.b  # orphans go to the oracle
        self.processes = {}

    def run(self):
        pairs, lives_alone, tasks_alone = self._pair()
        self.refused = [task for task in tasks_alone if task.pid == 0]
        for life, task in pairs:
            self._fork(life, task)
            self._images(life, task)
            self._ids(life, task)
            self._exit(life, task)
        for life in lives_alone:
            self._without_task(life)
        for task in tasks_alone:
            self._without_life(task)
        self._repeated_ids()
        self._lives_told_to_the_end()
        if self.trace.lost or self.trace.broken:
            self.result.only_ours(f"{self.trace.lost} lost and {self.trace.broken} broken lines")
        if self.trace.alone:
            self.result.accounted["images that lost the session with their user"] += self.trace.alone
        if self.trace.alone != self.alone:
            self.result.only_ours(f"{self.trace.alone} images lost the session, {self.alone} expected")
        if self.adopted_left > 0:
            self.result.only_ours(f"{self.adopted_left} adopted tasks less than the workload makes")
        return self.result

    # --- lives and tasks

    def _pair(self):
        """The n-th life of a pid is the n-th of our tasks with that pid."""
        ours = collections.defaultdict(list)
        for task in self.trace.tasks.values():
            ours[task.pid].append(task)
        pairs, lives_alone = [], []
        for life in self.recording.lives:
            if ours[life.pid] and life.pid:
                pairs.append((life, ours[life.pid].pop(0)))
            else:
                lives_alone.append(life)
        return pairs, lives_alone, [task for rest in ours.values() for task in rest]

    def _may_be_unwrapped_thread(self, life):
        return life.is_thread and "pthread_create" not in self.wrapped

    def _without_task(self, life):
        events = 1 + len(life.events) + (life.exit is not None)
        if life is self.recording.root:
            self.result.only_kernel(f"the root, {life}")
        elif self._may_be_unwrapped_thread(life):
            self.result.account_kernel(NOT_WRAPPED, events)
        elif life.is_thread and not life.events and life.exit and self._take_failed_thread(life):
            self.result.account_kernel("a thread that libc gave up: fork and exit", events)
        elif self.adopted_left > 0:
            self.adopted_left -= 1
            self.result.account_kernel("made by libc or the kernel, never met", events)
        else:
            for event in [life.fork, *life.events, *([life.exit] if life.exit else [])]:
                self.result.only_kernel(f"{event.kind} of {life} (parent {life.fork.b}): {event.a} {event.b}")

    def _take_failed_thread(self, life):
        """pthread_create that failed after the kernel had made the thread: INIT, FREE with the error, no pid."""
        for task in self.refused:
            if task.call in ("pthread_create", "thrd_create") and task.records[0]["by"] and \
                    task.records[0].get("tgid", 0) in (0, life.tgid) and not getattr(task, "seen", False):
                task.seen = True
                return True
        return False

    def _without_life(self, task):
        if task.pid == 0 and {record["event"] for record in task.records} <= {"init", "free"}:
            if task.vetoed:
                self.result.accounted["stopped at INIT: nothing was made"] += 1
            elif task.refused:
                self.result.accounted["refused by the kernel: nothing was made"] += 1
            else:
                self.result.only_ours(f"{task}: no pid, and neither stopped nor refused")
            return
        for record in task.of("clone", "exec", "uid", "gid", "exit"):
            self.result.only_ours(f"{record['event']} of {task}: the kernel has no such life")

    # --- one life

    def _fork(self, life, task):
        clones = task.of("clone")
        fork = life.fork
        if life is self.recording.root:
            self.result.account_kernel("the root's own fork, by the oracle")
            for record in clones:
                self.result.only_ours(f"clone of the root {task}")
            return
        if not clones:
            if self._may_be_unwrapped_thread(life):
                self.result.account_kernel(NOT_WRAPPED)
            elif self.adopted_left > 0 and task.adopted:
                self.adopted_left -= 1
                self.result.account_kernel("made by libc or the kernel, adopted")
            else:
                self.result.only_kernel(f"fork of {life} by {fork.a}/{fork.b}; ours has {task}")
            return
        told = clones[0]
        parent = told["ppid"]
        if fork.b == self.reaper and parent != self.reaper and (life.is_thread or told["clone_flags"] & CLONE_PARENT):
            parent = fork.b
            self.result.accounted["the creator's parent is gone: the kernel names the reaper"] += 1
        seen = (told["pid"], told["tgid"], parent)
        # A sibling (CLONE_PARENT) and a thread have their creator's parent; the creator itself is not named.
        creator_named = not life.is_thread and not told["clone_flags"] & CLONE_PARENT
        right = seen == (fork.pid, fork.tgid, fork.b) and (not creator_named or told["by"] == fork.a
                                                           or told.get("on_behalf"))
        if right:
            self.result.match("fork")
        else:
            self.result.differ(f"fork of {life} by {fork.a}/{fork.b}; ours: {seen} by {told['by']} ({task.call})")
        if task.vetoed:
            self.result.accounted["vetoed children"] += 1
        self._duplicates(task, clones)

    def _duplicates(self, task, records):
        for record in records[1:]:
            if record.get("again"):
                self.result.account_ours("told again, flagged")
            else:
                self.result.only_ours(f"a second {record['event']} of {task}")

    def _images(self, life, task):
        execs = [event for event in life.events if event.kind == "exec"]
        told = [record for record in task.of("exec") if not record.get("again")]
        plain = [record for record in told if not record.get("before") and "failed" not in record]
        withdrawn = [record for record in told if "failed" in record]
        forecasts = [record for record in told if record.get("before")]
        # Each withdrawal takes back the forecast before it.
        standing = max(0, len(forecasts) - len(withdrawn))
        if withdrawn:
            self.result.account_ours("forecasts withdrawn", min(len(forecasts), len(withdrawn)) + len(withdrawn))
        used = min(standing, max(0, len(execs) - len(plain)))
        if standing - used:
            self.result.account_ours("forecasts overtaken", standing - used)
        if used:
            self.result.accounted["images without the library: told beforehand"] += used
            task.unwatched_image = True
        self.result.match("exec", min(len(execs), len(plain) + used))
        missing = len(execs) - len(plain) - used
        if missing > 0 and life.exit and life.exit.a & 0x7f and life.events[-1].kind == "exec" and \
                any(record.get("on_behalf") for record in task.of("exit")):
            missing -= 1
            self.result.account_kernel("killed in a new image before it had loaded the library")
        for _ in range(missing):
            self.result.only_kernel(f"exec of {life}; ours has {len(plain)} of {len(execs)} ({task})")
        for record in plain[len(execs):]:
            self.result.only_ours(f"exec of {task}: {record['path']}")
        if life.is_thread and not life.took_over and execs:
            self.result.only_kernel(f"exec of {life}, which did not become the leader")

    def _ids(self, life, task):
        for kind in ("uid", "gid"):
            kernel = [event for event in life.events if event.kind == kind]
            for record in task.of(kind):
                ids = (record[kind], record["e" + kind])
                if "failed" in record or record.get("before"):
                    self.result.accounted["id changes that were refused"] += 1
                    self.result.account_ours("id changes that were refused")
                elif not record["changed"]:
                    self.result.account_ours("ids unchanged")
                elif kernel and (kernel[0].a, kernel[0].b) == ids:
                    self.result.match(kind)
                    self._changed(life.tgid, kind, ids)
                    kernel.pop(0)
                elif life.is_thread is False and self._by_thread(life, kind, ids):
                    self.result.match(kind)
                else:
                    self.result.only_ours(f"{kind} of {task}: {ids}; the kernel's next is {kernel[:1]}")
            for event in kernel:
                self.processes.setdefault(life.tgid, {}).setdefault("open", []).append((kind, (event.a, event.b), life))

    def _changed(self, tgid, kind, ids):
        self.processes.setdefault(tgid, {}).setdefault("changed", collections.Counter())[kind, ids] += 1

    def _by_thread(self, life, kind, ids):
        """Ours tells the change of a whole process under its leader, the thread that called is another one."""
        for other in self.recording.lives:
            if other.tgid == life.tgid and any(e.kind == kind and (e.a, e.b) == ids for e in other.events):
                self._changed(life.tgid, kind, ids)
                return True
        return False

    def _repeated_ids(self):
        """libc repeats the system call in each thread of the process; ours tells the call once."""
        for tgid, process in self.processes.items():
            changed = process.get("changed", collections.Counter())
            for kind, ids, life in process.get("open", []):
                if changed[kind, ids] and any(other.is_thread and other.tgid == tgid for other in self.recording.lives):
                    self.result.account_kernel("id changes that libc repeats in each thread")
                else:
                    self.result.only_kernel(f"{kind} of {life}: {ids}")

    def _exit(self, life, task):
        told = task.of("exit")
        self._duplicates(task, told)
        if task.vetoed:
            if life.exit:
                self.result.account_kernel("vetoed children")
            for record in told:
                self.result.only_ours(f"exit of {task}, which was vetoed")
            return
        if not life.exit:
            self.result.differ(f"{life} has not ended")
        elif not told:
            self._untold_exit(life, task)
        else:
            self._told_exit(life, task, told[0])

    def _untold_exit(self, life, task):
        if self._may_be_unwrapped_thread(life):
            self.result.account_kernel(NOT_WRAPPED)
        else:
            self.result.only_kernel(f"exit of {life} with {life.exit.a:#x} ({task})")

    def _told_exit(self, life, task, told):
        status, seen = life.exit.a, told["status"]
        killed = status & 0x7f
        ended_by_others = told.get("on_behalf") and not told["call"].endswith(("_join", "_np"))
        if (life.overtaken or life.is_thread) and ended_by_others and not life.took_over:
            # By another thread's exec, or the end of the process: of such a task the kernel has no status of its own.
            self.result.match("exit")
            self.result.accounted["threads cut off by an exec or the end of the process"] += 1
        elif seen is None and self.unknown_left > 0:
            self.unknown_left -= 1
            self.result.match("exit")
            self.result.accounted["status unknown"] += 1
        elif seen != status:
            self.result.differ(f"exit of {life}: {status:#x}; ours: {seen} ({task}, {told['call']})")
        elif status == 127 << 8 and task.call.startswith("posix_spawn") and not life.events:
            self.result.match("exit")
            self.result.accounted["failed spawns: the child exits with 127"] += 1
        elif told.get("on_behalf") and seen == status and self._is_thread_of(told["by"], life.tgid):
            self.result.match("exit")
            self.result.accounted["a leader's end, told by the thread that ended the process"] += 1
        elif told.get("on_behalf") and not killed and not task.alone and not getattr(task, "unwatched_image", False):
            # It could have told its end itself.
            self.result.differ(f"exit of {life} with {status:#x} was told on behalf ({task}, {told['call']})")
        else:
            self.result.match("exit")
            if told.get("on_behalf"):
                why = "killed" if killed else "lost the session" if task.alone else "an image without the library"
                self.result.accounted[f"ends told on behalf: {why}"] += 1

    def _is_thread_of(self, pid, tgid):
        return any(life.pid == pid and life.tgid == tgid and life.is_thread for life in self.recording.lives)

    def _lives_told_to_the_end(self):
        for task in self.trace.tasks.values():
            frees = [record for record in task.of("free") if not record.get("again")]
            if len(frees) != 1:
                self.result.unexplained.append(f"{len(frees)} FREE of {task}")
