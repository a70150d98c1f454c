# SPDX-License-Identifier: MIT
"""The aims, and where among what was measured each one's figure is found.

A figure that was not measured is said to be missing; an aim that is missed has its reason in MISSED, with what was counted
in the same run.
"""
import re

# Row of interleave.h: name, median, median ratio, paired ratio, ratio of the first quartiles.
ROW = re.compile(r"^  (.+?) +([\d.]+) us +median ratio +([\d.]+) +paired +([\d.]+) +p25 +([\d.]+)", re.M)


class Measured:
    """What scripts/bench left behind: texts[name], peers, scale."""

    def __init__(self, texts, peers, scale):
        self.texts, self.peers, self.scale = texts, peers, scale

    def paired(self, name, row):
        """Ratio of a row that interleave.h printed, the last one whose name begins so."""
        found = [float(m[4]) for m in ROW.finditer(self.texts.get(name, "")) if m[1].startswith(row)]
        return found[-1] if found else None

    def peer(self, work, configuration, key="ratio"):
        rows = self.peers.get("works", {}).get(work, {}).get("rows", {})
        return rows.get(configuration, {}).get(key)

    def number(self, name, pattern, group=1):
        found = re.search(pattern, self.texts.get(name, ""), re.M)
        return float(found[group]) if found else None


START_NOISE = ("start", "empty preload again")
THREAD = "pthread_create + pthread_join: "
TRACE = "**trace to JSON**"
MAKE = "make -j2, 200 C files"

# What, limit, where the figure is, where the noise is (None: the figure is counted, or has its peer in itself).
AIMS = [
    ("start without watchers, to an empty preload's", 0.98, lambda m: m.paired("start", "libtaskwatch, no watchers"), START_NOISE),
    ("start under `trace` to a JSON file", 1.07, lambda m: m.paired("start", "trace to a JSON file"), START_NOISE),
    ("start under `limit`", 1.06, lambda m: m.paired("start", "limit"), START_NOISE),
    ("start under `fault`", 1.06, lambda m: m.paired("start", "fault"), START_NOISE),
    ("start under the three", 1.12, lambda m: m.paired("start", "trace, limit and fault"), START_NOISE),
    ("fork, nobody wants `CLONE`", 1.02, lambda m: m.paired("calls", "fork: wrapped"), ("calls", "fork: genuine again")),
    ("fork, somebody does", 1.03, lambda m: m.paired("calls-watched", "fork: wrapped"), ("calls-watched", "fork: genuine again")),
    ("thread, nobody watches", 1.03, lambda m: m.paired("calls", THREAD + "wrapped"), ("calls", THREAD + "genuine again")),
    ("a thread made and joined, nobody wants `CLONE`", 1.02, lambda m: m.paired("calls", "pthread_create + pthread_join: wrapped"),
     ("calls", "pthread_create + pthread_join: genuine again")),
    ("a thread made and joined, somebody does", 1.06, lambda m: m.paired("calls-watched", "pthread_create + pthread_join: wrapped"),
     ("calls-watched", "pthread_create + pthread_join: genuine again")),
    ("`system`", 0.95, lambda m: m.paired("calls", "system: wrapped"), ("calls", "system: genuine again")),
    ("`posix_spawn`'s own time", 0.70, lambda m: m.number("spawn", r"ratio ([\d.]+)"), None),
    ("`seteuid`, nobody watches `UID`", 1.05, lambda m: m.paired("calls", "seteuid x 100: wrapped"),
     ("calls", "seteuid x 100: genuine again")),
    ("`seteuid`, somebody does", 4, lambda m: m.paired("calls-watched", "seteuid x 100: wrapped"),
     ("calls-watched", "seteuid x 100: genuine again")),
    ("`make -j2` under `trace` to a JSON file, to the bare build", 1.01, lambda m: m.peer(MAKE, TRACE),
     lambda m: m.peer(MAKE, "bare again")),
    ("walk in two threads at once, to one", 1.2, lambda m: m.number("walk", r"^ +1 .* ([\d.]+) +[\d.]+$"),
     lambda m: m.number("walk", r"^ +1 .* ([\d.]+)$")),
    ("instructions of `seteuid` above the genuine one, nobody watches `UID`", 6,
     lambda m: m.number("counts", r"instructions of a seteuid, no watchers: ([\d.]+)"), None),
    ("writes of an event under `trace`", 1, lambda m: m.scale.get("trace", {}).get("writes"), None),
]

def counted(what):
    """Why: what is counted of it above an empty preload's."""
    def reason(measured):
        calls, instructions = (measured.number("counts", rf"{kind} of a {re.escape(what)}: (-?[\d.]+)")
                               for kind in ("system calls", "instructions"))
        if calls is None or instructions is None:
            return ""
        return f"{calls:g} system calls and {instructions:,.0f} instructions above an empty preload's"
    return reason


def start_of(watchers, cause):
    return lambda measured: f"{cause}: {counted(f'start, {watchers}')(measured)}"


IDLE = "a watcher that does nothing"
SESSION = "the session is found and mapped"
# A text, or a function of what was measured.
MISSED = {
    "start without watchers, to an empty preload's": start_of("no watchers", "variables are read and the chain is set up"),
    "start under `trace` to a JSON file": start_of("trace", SESSION + ", the file opened, three records written"),
    "start under `limit`": start_of("limit", SESSION + ", tasks counted in it"),
    "start under `fault`": start_of("fault", SESSION + ", calls counted in it"),
    "start under the three": start_of("trace, limit and fault", SESSION + ", the file opened, three records written"),
    "fork, nobody wants `CLONE`": counted("fork, no watchers"),
    "fork, somebody does": counted(f"fork, {IDLE}"),
    "thread, nobody watches": counted("thread, no watchers"),
    "a thread made and joined, nobody wants `CLONE`": counted("thread, no watchers"),
    "a thread made and joined, somebody does": counted(f"thread, {IDLE}"),
    "`system`": "most of it is its shell's own start, the same in both; the spawn before it, which makes a hundred system calls "
                "fewer, is less than a twentieth",
    "`seteuid`, nobody watches `UID`": counted("seteuid, no watchers"),
    "`seteuid`, somebody does": counted(f"seteuid, {IDLE}"),
    "`make -j2` under `trace` to a JSON file, to the bare build":
        "about nine processes a file start under the library; what their spawns save is less than what their starts cost",
    "instructions of `seteuid` above the genuine one, nobody watches `UID`":
        "the exported function, one load, one branch, and the genuine one called through a table; libc's own is a jump less",
}


# What has been tried for a row, and what it brought: said of those that miss their aim.
START = ("the page faults of a start were counted (`perf record -e page-faults -d`): with a watcher 61 beside an empty preload's 54, now 54 or 55. "
         "What a start writes was moved into the page that the dynamic linker writes anyway (four faults), clocks are system calls at first and "
         "not the vDSO's (two), the session's header and first slots share a page and cells are not touched before they are used (two), "
         "the functions of a start lie together (half of one)")
TRIED = {
    "start under `trace` to a JSON file": START + "; its file is number 60 and not 200, for which the kernel would make a larger table (2 µs); its lines "
        "are made by words (4,000 instructions). With them it went from 1.11 to 1.07 on a busy machine. Left are attaching the session (`shmat` and its "
        "first page, 5 to 9 µs; a file mapped instead costs less and dies of a truncation) and three writes with their look at the file",
    "start under `limit`": START,
    "start under `fault`": START,
    "start under the three": START + "; each watcher of its own file had cost 6 to 7 % more, being named in LD_PRELOAD 4 %: they are built in",
    "fork, nobody wants `CLONE`": "what a child calls is found before the first fork (five page faults less in each child)",
    "fork, somebody does": "what a child calls is found before the first fork, the chain, the gates and the clocks touch no page of their own "
        "(together 38 page faults of a child and its creator became 31)",
    "a thread made and joined, somebody does": "its gate lies in a page that is mapped once in a process, the key that tells its end is made once, "
        "and the clocks, the chain and the gates touch no page of their own",
    "`system`": "the shell is spawned by our own posix_spawn, 0.6 of libc's time; not starting the library in the shell would lose what it starts",
    "`seteuid`, somebody does": "eight system calls became four: old ids read once, of the new ones three, the fourth follows from them; old ids kept from "
        "the last call (three) were tried on paper and given up, because a user namespace's map and a program's own instruction change them unseen",
    "`make -j2` under `trace` to a JSON file, to the bare build": START,
}


def is_missed(limit, value):
    return value is not None and round(value, 2) > limit


def tried(measured):
    """(what, text) of the rows that miss."""
    for what, limit, figure, _ in AIMS:
        if is_missed(limit, figure(measured)) and what in TRIED:
            yield what, TRIED[what]


def rows(measured):
    """(what, limit, measured, noise, reason) as texts."""
    for what, limit, figure, noise in AIMS:
        value = figure(measured)
        again = measured.paired(*noise) if isinstance(noise, tuple) else noise(measured) if noise else None
        reason = MISSED.get(what, "no reason written down") if is_missed(limit, value) else ""
        reason = reason if isinstance(reason, str) else reason(measured)
        yield (what, f"{limit:g}", "not measured" if value is None else f"{value:.2f}",
               "" if again is None else f"{again:.2f}", reason)
