#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes what scripts/bench has measured: results.md and results.svg beside this file, and README.md's part between its
markers.

    report.py FOLDER [--quick]

FOLDER has what each measurement printed, NAME.txt, and peers.json, scale.json. Nothing is measured here.
"""
import json
import os
import platform
import re
import subprocess
import sys
import time

import aims
import picture

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BEGIN = "<!-- Measured: written by scripts/bench report, not by hand. -->"
END = "<!-- Measured: end. -->"


def read(folder, name):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()


def machine(folder, quick):
    load = float(read(folder, "load") or 0)
    busy = f"; the machine was busy with other things, load {load:.1f}, so the figures are rough" if load > 0.7 else ""
    model = re.search(r"^model name\s*: (.*)$", read("/proc", "cpuinfo"), re.M)
    system = re.search(r'^PRETTY_NAME="(.*)"$', read("/etc", "os-release"), re.M)
    kernel = ".".join(platform.release().split(".")[:2])
    return (f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), Linux {kernel}, "
            f"{system[1] if system else 'unknown system'}, {os.confstr('CS_GNU_LIBC_VERSION')}; "
            f"{time.strftime('%-d %B %Y')}, revision {output_of('git', 'rev-parse', '--short', 'HEAD') or 'unknown'}; "
            f"`scripts/bench{' --quick' if quick else ''} report`{busy}")


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def short(row, unit, is_bare):
    if "failed" in row:
        return "–"
    if is_bare:
        return f"{row['median']:.3g} {unit}" if row["median"] < 1000 else f"{row['median'] / 1000:.3g} s"
    return f"{row['ratio']:.2f}" if row["ratio"] < 9.95 else f"{row['ratio']:.0f}"


def peers_table(peers):
    works = peers["works"]
    rows = []
    for name in peers["configurations"]:
        rows.append([name] + [short(work["rows"][name], work["unit"], name == "bare") for work in works.values()])
    return table(["", *works], rows)


def reasons(peers):
    """Why a cell has no figure, once for each reason."""
    found = {}
    for work, content in peers["works"].items():
        for name, row in content["rows"].items():
            if "failed" in row:
                found.setdefault((name.strip("*"), row["failed"]), []).append(work)
    return "".join(f"- {name}: {reason} ({', '.join(works) if len(works) < len(peers['works']) else 'all'})\n"
                   for (name, reason), works in found.items())


def spread_table(peers):
    rows = []
    for work, content in peers["works"].items():
        for name in peers["configurations"]:
            row = content["rows"][name]
            if "failed" not in row:
                rows.append([work, name, f"{row['median']:.4g} {content['unit']}", f"{row['ratio']:.3f}",
                             f"{row['low']:.3f} to {row['high']:.3f}", row["rounds"]])
    return table(["work", "under", "median", "ratio", "quartiles", "rounds"], rows)


def scale_table(scale):
    rows = [[name, f"{scale[name]['us']:.2f}", f"{scale[name]['bytes']:.0f}"]
            for name in ("trace", "strace", "strace --seccomp-bpf") if name in scale]
    text = table([f"{scale['events']:,} events to a file", "µs an event", "bytes an event"], rows)
    text += ("\nThe work is children that end at once. Of each trace writes four records, strace six lines; both columns are a child's, above "
             "the bare program's, by four. What trace takes is mostly not writing: creator and child copy pages that both write, and "
             "the child waits until its CLONE is told.\n")
    if "calls" in scale.get("trace", {}):
        others = ", ".join(f"{n:g} {name}" for name, n in sorted(scale["trace"]["other calls"].items()) if n >= 0.1)
        text += (f"\nAn event is {scale['trace']['writes']:.2f} `write`; of a child, which is four events, beside that: {others}.\n")
    return text


LIST = re.compile(r"^(.+?) +one watcher ([\d.-]+) instructions ([\d.-]+) ns, each further one ([\d.-]+) instructions ([\d.-]+) ns", re.M)


def lists_table(text):
    def two_threads(name):
        found = re.search(rf"^{re.escape(name)} +1 .* ([\d.]+)$", text, re.M)
        return found[1] if found else ""
    names = {"chain": "our chain", "RCU list": "list under RCU (liburcu, memb)", "list, mutex": "the kernel's list under a mutex"}
    rows = [[names.get(m[1], m[1]), f"{m[2]}, {m[3]} ns", f"{m[4]}, {m[5]} ns", two_threads(m[1])] for m in LIST.finditer(text)]
    if not rows:
        return "The walk beside other lists: not measured, liburcu is not here.\n"
    return table(["a walk: instructions and time", "one watcher, above none", "each further one", "two threads at once, to one"], rows)


def stack_walks(text):
    """[(which, microseconds)]: the first walk in a process, then later ones."""
    first = re.search(r"^the first walk, (\d+) calls deep: ([\d.]+) us", text, re.M)
    later = re.findall(r"^  (\d+ calls deep|\d+ frames of \d+) +([\d.]+) us", text, re.M)
    return [(f"the first in a process, {first[1]} calls deep", first[2])] + [(f"later, {name}", us) for name, us in later] if first else []


def stack_table(text):
    """What a walk of the watcher `stack` takes, with raw program counters and with names."""
    raw, _, named = text.partition("symbols=now\n")
    raw, named = stack_walks(raw), dict(stack_walks(named))
    if not raw:
        return "A walk of the watcher `stack`: not measured.\n"
    return table(["a walk of the watcher `stack`", "µs", "with `symbols=now`"], [[which, us, named.get(which, "")] for which, us in raw])


def aims_table(measured):
    tried = "".join(f"- {what}: {text}.\n" for what, text in aims.tried(measured))
    return (table(["what", "aim, at most", "measured", "the same twice", "where missed: why"], list(aims.rows(measured)))
            + ("\nWhat was tried where an aim is missed:\n\n" + tried if tried else ""))


HOW = """Ratios to the bare program of the same round, medians of interleaved rounds; the first line is the bare program's own
time. `bare again` is the same once more: so much is noise. strace is asked for processes and ids (`-e trace=%process,%creds`).
snoopy logs execs only, fakeroot and pseudo serve another purpose; nearest in what they see are strace and lttng-ust-fork.
"""


def main():
    folder, quick = sys.argv[1], "--quick" in sys.argv
    texts = {name[:-4]: read(folder, name) for name in os.listdir(folder) if name.endswith(".txt")}
    peers, scale = json.loads(read(folder, "peers.json")), json.loads(read(folder, "scale.json"))
    measured = aims.Measured(texts, peers, scale)
    where = machine(folder, quick)

    with open(os.path.join(HERE, "results.svg"), "w", encoding="utf-8") as file:
        file.write(picture.draw(peers, ["Time beside the bare program's (the line), logarithmic.", *where.replace("`", "").split("; ")]))
    failed = reasons(peers)
    with open(os.path.join(HERE, "results.md"), "w", encoding="utf-8") as file:
        file.write("# What it costs\n\nWritten by `scripts/bench report`, not by hand.\n\n" + where + ".\n\n" + HOW + "\n"
                   + peers_table(peers) + ("\n" + failed if failed else "") + "\n![The table as bars](results.svg)\n\n## Aims\n\n"
                   + aims_table(measured) + "\n## A million events\n\n" + scale_table(scale)
                   + "\n## The walk beside other lists\n\n" + lists_table(texts.get("lists", "")) + "\n## Call stacks\n\n" + stack_table(texts.get("stack", "")) + "\n## Every figure with its spread\n\n" + spread_table(peers) + "\n## As printed\n")
        for name in sorted(set(texts) - {"peers", "scale"}):  # theirs are the tables above
            file.write(f"\n`scripts/bench {name}`\n\n```\n{texts[name]}```\n")

    readme = os.path.join(ROOT, "README.md")
    with open(readme, encoding="utf-8") as file:
        text = file.read()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    part = (f"\n{where}.\n\n{HOW}\n{peers_table(peers)}" + ("\n" + failed if failed else "")
            + "\n![The same as bars](tests/bench/results.svg)\n\n" + aims_table(measured) + "\n" + scale_table(scale)
            + "\n" + lists_table(texts.get("lists", "")) + "\n" + stack_table(texts.get("stack", "")) + "\nSpreads and every figure as printed: [results.md](tests/bench/results.md).\n")
    with open(readme, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + part + END + after)


if __name__ == "__main__":
    main()
