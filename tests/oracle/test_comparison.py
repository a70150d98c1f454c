#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The comparison itself, on streams made up here: what is equal, what is accounted for and under which name, and
that everything else is unexplained. TAP on stdout; needs no rights."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import compare  # noqa: E402
import kernel  # noqa: E402
import trace as our_trace  # noqa: E402

ORACLE, ROOT = 90, 100
THREAD = 0x10000
WRAPPED = {"fork", "pthread_create"}
# The root's life around every stream.
BIRTH = f"root {ROOT}\nfork {ROOT} {ROOT} {ORACLE} {ORACLE}\nexec {ROOT} {ROOT}\n"
DEATH = f"exit {ROOT} {ROOT} 0 {ORACLE}\nstatus 0"


class Ours:
    """Writes trace records; a task's pid, tgid and parent process are those of its last clone()."""

    def __init__(self):
        self.lines, self.known = [], {1: (ROOT, ROOT, ORACLE)}
        self.add("exec", 1, adopted=True, path="/root")

    def add(self, event, task, session="a", **fields):
        pid, tgid, ppid = fields.pop("at", None) or self.known.get(task, (0, 0, 0))
        record = {"v": 1, "event": event, "session": session, "task": task, "pid": pid, "tgid": tgid, "ppid": ppid,
                  "by": fields.pop("by", pid), "call": fields.pop("call", "fork"), **fields}
        self.lines.append(json.dumps(record))
        return self

    def clone(self, task, pid, tgid=None, parent=ROOT, flags=17, by=ROOT, **fields):
        self.add("init", task, at=(0, 0, parent), by=by, clone_flags=flags, **{"call": fields.get("call", "fork")})
        self.known[task] = (pid, tgid or pid, parent)
        return self.add("clone", task, by=by, clone_flags=flags, **fields)

    def thread(self, task, pid, tgid=ROOT, parent=ORACLE, **fields):
        return self.clone(task, pid, tgid, parent, THREAD, call="pthread_create", **fields)

    def exec(self, task, **fields):
        return self.add("exec", task, path="/image", **fields)

    def ids(self, task, kind, real, effective, changed=True):
        return self.add(kind, task, changed=changed, **{kind: real, "e" + kind: effective})

    def end(self, task, status=0, **fields):
        return self.add("exit", task, status=status, **fields).add("free", task)

    def child(self, task, pid, status=0):
        return self.clone(task, pid).end(task, status)


def compared(stream, ours, finish=True, **expected):
    if finish:
        ours.end(1)
    recording = kernel.Recording((BIRTH + stream + DEATH).splitlines())
    return compare.Comparison(recording, our_trace.Trace(ours.lines), WRAPPED, **expected).run()


def child(pid, status=0):
    return f"fork {pid} {pid} {ROOT} {ROOT}\nexit {pid} {pid} {status} {ROOT}\n"


def thread(tid, status=0):
    return f"fork {tid} {ROOT} {ORACLE} {ORACLE}\n" + (f"exit {tid} {ROOT} {status} 0\n" if status is not None else "")


def perfect(result, **accounted):
    wrong = list(result.unexplained)
    if (result.recall, result.precision) != (1, 1):
        wrong.append(f"recall {result.recall}, precision {result.precision}")
    for words, count in accounted.items():
        seen = sum(n for name, n in result.accounted.items() if words.replace("_", " ") in name)
        if seen != count:
            wrong.append(f"{words}: {seen} accounted for, not {count}: {dict(result.accounted)}")
    return wrong


def imperfect(result, figure):
    return [] if getattr(result, figure) < 1 and result.unexplained else [f"{figure} {getattr(result, figure)}"]


def equal_streams():
    pid_again = child(101, 256) + child(101, 9)
    yield "equal", perfect(compared(child(101, 256), Ours().child(2, 101, 256)))
    yield "a pid's lives are told apart", perfect(compared(pid_again, Ours().child(2, 101, 256).child(3, 101, 9)))
    yield "an exec", perfect(compared("exec 100 100\n", Ours().exec(1)))
    yield "a thread", perfect(compared(thread(101), Ours().thread(2, 101).end(2)))
    yield "ids", perfect(compared("uid 100 100 5 6\ngid 100 100 7 7\n", Ours().ids(1, "uid", 5, 6).ids(1, "gid", 7, 7)))
    sibling = f"fork 101 101 {ORACLE} {ORACLE}\nexit 101 101 0 {ORACLE}\n"
    yield "a sibling", perfect(compared(sibling, Ours().clone(2, 101, parent=ORACLE, flags=0x8011).end(2)))


def accounted_streams():
    one = child(101)
    yield "a vetoed child", perfect(compared(
        child(101, 9), Ours().clone(2, 101, vetoed=True).add("free", 2, vetoed=True)), vetoed=2)
    yield "stopped at INIT", perfect(compared(
        "", Ours().add("init", 2, vetoed=True).add("free", 2, vetoed=True)), stopped_at_INIT=1)
    yield "a refused creation", perfect(compared(
        "", Ours().add("init", 2).add("free", 2, refused="EAGAIN")), refused_by_the_kernel=1)
    yield "a forecast withdrawn", perfect(compared(
        "", Ours().exec(1, before=True).exec(1, failed="ENOENT")), withdrawn=2)
    yield "a forecast overtaken", perfect(compared(
        "exec 100 100\n", Ours().exec(1, before=True).exec(1)), overtaken=1)
    yield "a forecast that holds", perfect(compared("exec 100 100\n", Ours().exec(1, before=True)), told_beforehand=1)
    yield "ids unchanged", perfect(compared("", Ours().ids(1, "uid", 0, 0, False)), unchanged=1)
    yield "ids repeated in a thread", perfect(compared(
        thread(101, None) + "uid 100 100 5 5\nuid 101 100 5 5\nexit 101 100 0 0\n",
        Ours().thread(2, 101).ids(1, "uid", 5, 5).end(2)), repeats=1)
    yield "a thread that libc gave up", perfect(compared(
        thread(101), Ours().add("init", 2, call="pthread_create", at=(0, ROOT, ORACLE), by=ROOT)
        .add("free", 2, refused="EPERM")), gave_up=2)
    yield "an adopted task", perfect(compared(one, Ours().add("exit", 2, at=(101, 101, ROOT), status=0)
                                              .add("free", 2), adopted=1), adopted=1)
    yield "a failed spawn", perfect(compared(
        child(101, 127 << 8), Ours().clone(2, 101, call="posix_spawn").end(2, 127 << 8, on_behalf=True)),
        failed_spawns=1)
    yield "killed before its image began", perfect(compared(
        f"fork 101 101 {ROOT} {ROOT}\nexec 101 101\nexit 101 101 9 {ROOT}\n",
        Ours().clone(2, 101).end(2, 9, on_behalf=True)), killed_in_a_new_image=1)
    yield "cut off by the end of the process", perfect(compared(
        thread(101), Ours().thread(2, 101).end(2, None, on_behalf=True, call="exit")), cut_off=1)
    early = thread(101, None) + thread(102, None) + "exit 100 100 0 0\nexit 102 100 0 0\nexec 100 100\n"
    late = thread(101, None) + thread(102, None) + "exit 102 100 0 0\nexec 100 100\nexit 100 100 0 0\n"
    for when, stream in ("before", early), ("after", late):
        ours = Ours().thread(2, 101).thread(3, 102).end(3, on_behalf=True, call="execve")
        ours.end(1, None, on_behalf=True, call="execve").exec(2, at=(ROOT, ROOT, ORACLE))
        ours.add("exit", 2, status=0, at=(ROOT, ROOT, ORACLE)).add("free", 2)
        yield f"an exec by a thread, its leader's exit told {when} it", perfect(
            compared(stream, ours, finish=False), cut_off=2)


def unequal_streams():
    one = child(101)
    for figure, name, stream, ours in (
            ("recall", "a fork that is not ours", one, Ours()),
            ("recall", "a thread that is not ours", thread(101), Ours()),
            ("recall", "a child met without INIT", one, Ours().add("exit", 2, at=(101, 101, ROOT), status=0)),
            ("precision", "a clone that is not the kernel's", "", Ours().child(2, 101)),
            ("recall", "an exec that is not ours", "exec 100 100\n", Ours()),
            ("precision", "an exec that is not the kernel's", "", Ours().exec(1)),
            ("recall", "an id change that is not ours", "uid 100 100 5 5\n", Ours()),
            ("precision", "an id change that is not the kernel's", "", Ours().ids(1, "gid", 5, 5)),
            ("recall", "other ids", "uid 100 100 5 5\n", Ours().ids(1, "uid", 5, 6)),
            ("recall", "an end that is not ours", one, Ours().clone(2, 101)),
            ("recall", "another status", child(101, 256), Ours().child(2, 101, 512)),
            ("recall", "an unknown status", one, Ours().child(2, 101, None)),
            ("precision", "an end told twice", one, Ours().child(2, 101).end(2)),
            ("precision", "a clone told twice", one, Ours().clone(2, 101).child(2, 101)),
            ("recall", "another parent", one, Ours().clone(2, 101, parent=7).end(2)),
            ("recall", "another creator", one, Ours().clone(2, 101, by=7).end(2)),
            ("recall", "a thread as a process", thread(101), Ours().clone(2, 101).end(2)),
            ("recall", "an end told on behalf without need", one,
             Ours().clone(2, 101).end(2, on_behalf=True, by=ROOT)),
            ("recall", "a life that has not ended", f"fork 101 101 {ROOT} {ROOT}\n", Ours().child(2, 101)),
            ("precision", "a session that was lost", "exec 100 100\n", Ours().add("exec", 9, "b", at=(ROOT,) * 3)),
            ("precision", "a pid in no creation", "", Ours().add("init", 2).add("free", 2))):
        yield name, imperfect(compared(stream, ours), figure)
    torn = Ours()
    torn.lines.append('{"v":1,"eve')
    yield "a line that does not parse", imperfect(compared("", torn), "precision")
    yield "a life without FREE", [] if compared(one, Ours().clone(2, 101).add("exit", 2, status=0)).unexplained \
        else ["perfect"]
    yield "adopted tasks that are not there", imperfect(compared(one, Ours().child(2, 101), adopted=1), "precision")


def main():
    count = failures = 0
    for title, group in ("equal", equal_streams), ("accounted for", accounted_streams), ("noticed", unequal_streams):
        for name, wrong in group():
            count += 1
            failures += bool(wrong)
            print(f"{'not ok' if wrong else 'ok'} {count} - {title}: {name}")
            for line in wrong:
                print(f"#   {line}")
    print(f"1..{count}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
