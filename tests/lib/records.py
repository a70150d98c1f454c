# SPDX-License-Identifier: MIT
"""Reads what the recorder has written (record.h) and checks what must hold of every such file."""
import collections
import struct

CAPACITY = 32768
PAGE = 4096
LAYOUT = struct.Struct("<4I4i5iI" + "3Q" + "Q" + "Q2Q" + "8I" + "24s16s64s16s")
FIELDS = ("complete event flags context pid tgid ppid by tid process exit_status error verdict cancellation "
          "id parent_id session clone_flags blocked cell_count shared_count "
          "real effective saved filesystem old_real old_effective old_saved old_filesystem "
          "call stopped_by path argv0").split()
Record = collections.namedtuple("Record", FIELDS)

EVENTS = {1: "init", 2: "clone", 3: "exec", 4: "uid", 5: "gid", 0xFFFE: "exit", 0xFFFF: "free"}
FLAGS = {0x10000: "behalf", 0x20000: "again", 0x40000: "adopted", 0x80000: "unchanged", 0x100000: "stopped",
         0x200000: "before", 0x400000: "failed", 0x800000: "unknown"}
BEHALF = 0x10000
NOT_HELD, FOREIGN_TLS, QUIET = 2, 8, 16

# Everything but SIGKILL and SIGSTOP, which cannot be, and libc's own 32 and 33.
ALL_SIGNALS = (1 << 64) - 1 & ~(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32)
CANCEL_DISABLED = 1


def create(path):
    with open(path, "wb") as stream:
        stream.truncate(PAGE + CAPACITY * LAYOUT.size)


def read(path):
    with open(path, "rb") as stream:
        count, size = struct.unpack("<2I", stream.read(8))
        if count == 0:
            return []
        assert size == LAYOUT.size, f"records of {size} bytes, not {LAYOUT.size}"
        assert count <= CAPACITY, f"{count} records, more than fit"
        stream.seek(PAGE)
        data = stream.read(count * size)
    return [Record(*(value.partition(b"\0")[0].decode(errors="replace") if isinstance(value, bytes) else value
                     for value in fields)) for fields in LAYOUT.iter_unpack(data)]


def word(record):
    flags = "".join("+" + name for bit, name in FLAGS.items() if record.flags & bit)
    return EVENTS.get(record.event, hex(record.event)) + flags


def sequence(records):
    return " ".join(word(record) for record in records)


def by_task(records):
    tasks = collections.OrderedDict()
    for record in records:
        tasks.setdefault(record.id, []).append(record)
    return tasks


def describe(records, most=30):
    """The last of them, a line each."""
    return "\n".join(f"  {n}: task {r.id} pid {r.pid} {word(r)} call={r.call} process={r.process} tid={r.tid} "
                     f"error={r.error} status={r.exit_status:#x} context={r.context:#x}"
                     for n, r in list(enumerate(records))[-most:])


def faults(records, owed=0, whole_life=True):
    """What is wrong with these records, as sentences. `owed`: tasks whose end nobody was left to tell.
    `whole_life`: the watcher was told of everything, INIT to FREE."""
    found = []
    for n, r in enumerate(records):
        where = f"record {n} ({word(r)} of task {r.id}, {r.call})"
        if not r.complete:
            found.append(f"{where}: the callback began and did not end")
        if r.id == 0 or r.session == 0 or r.session != records[0].session:
            found.append(f"{where}: id {r.id}, session {r.session:x}")
        if not r.context & FOREIGN_TLS and r.cancellation != CANCEL_DISABLED:
            found.append(f"{where}: cancellation was enabled in the callback")
        if r.event in (1, 2) and not r.flags & BEHALF and not r.context & QUIET and r.blocked != ALL_SIGNALS:
            found.append(f"{where}: signals were open, mask {r.blocked:#x}")
    if sorted(r.shared_count for r in records) != list(range(1, len(records) + 1)):
        found.append("the counter in the watcher's shared words went wrong")
    if whole_life:
        found += faults_of_lives(records, owed)
    return found


def faults_of_lives(records, owed):
    found, unended = [], []
    for task, life in by_task(records).items():
        what = f"task {task} ({life[-1].call}, pid {life[-1].pid} {life[-1].path}): {sequence(life)}"
        events = [EVENTS[r.event] for r in life]
        if "free" not in events:
            unended.append(what)
        elif events.count("free") > 1 or events[-1] != "free":
            found.append(f"{what}: FREE is not the last word, once")
        if events.count("init") > 1 or "init" in events[1:]:
            found.append(f"{what}: INIT is not the first word, once")
        # A watcher behind the one that stopped INIT is told of FREE alone.
        if events[0] != "init" and events != ["free"] and not life[0].flags & 0x40000:
            found.append(f"{what}: met without INIT and not flagged as adopted")
        # Zero at INIT, the same memory until FREE, wherever the callback ran.
        if [r.cell_count for r in life] != list(range(1, len(life) + 1)):
            found.append(f"{what}: its cell counted {[r.cell_count for r in life]}")
    if len(unended) != owed:
        found += [f"{len(unended)} tasks without FREE, {owed} expected", *unended]
    return found
