#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every function of this machine's libc that may make, replace, re-identify, wait for or end a task is wrapped or has
a reason not to be: completeness.py [--prove] FUNCTIONS.DEF LIBC_TASKS.TXT [LIBC]

The names that CANDIDATES match are looked at; libc_tasks.txt has the reasons. A candidate that is neither wrapped
nor reasoned fails, and so does a reason for a name that libc does not have (any more) or that is wrapped.
--prove shows that each of these is found, on lists that are spoilt for it.
"""
import fnmatch
import re
import subprocess
import sys

# Of the name without its leading underscores, in full.
CANDIDATES = [
    r".*fork.*", r".*clone\d*", r"pidfd_.*",  # makes a process, names one
    r"posix_spawn.*", r"(IO_)?popen", r"(IO_)?proc_(open|close)", r"(libc_)?system", r"daemon", r"wordexp",
    r"f?exec(l|le|lp|v|ve|veat|vp|vpe)", r"rexec.*", r"rcmd.*", r"i?ruserok.*",
    r"(p?thread|thrd)_(create|exit|join|.*join_np|cancel|kill.*|sigqueue)", r"pthread_key_(create|delete)", r"tss_create",
    r"(aio|lio|gai)_.*", r"getaddrinfo_a", r"timer_create", r"mq_notify",  # libc makes threads for these
    r"set(|e|re|res|fs)[ug]id\d*", r"(set|init)groups", r"setns", r"unshare", r"capset", r"chroot",
    r"set(pgid|pgrp|sid|login)", r"login_tty",
    r"wait(|3|4|id|pid)",
    r".*exit", r"libc_start_main", r"(cxa_.*)?atexit.*", r"cxa_thread_atexit.*",
    r"v?errx?", r"error(_at_line)?", r"argp_(parse|usage|error|help|failure|state_help)", r"svc_run",
    r"abort", r".*_fail", r"libc_fatal", r"raise", r"gsignal", r"kill(|pg)", r"tgkill", r"sigqueue", r"ptrace",
    r"syscall", r"prctl", r"process_mrelease",
]


def exported(libc):
    """{name} of the functions that a program can call."""
    listing = subprocess.run(["readelf", "--dyn-syms", "--wide", libc], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listing.stdout.splitlines())
    return {row[7].split("@")[0] for row in rows
            if len(row) >= 8 and row[3] in ("FUNC", "IFUNC") and row[6] != "UND" and not row[7].endswith("@GLIBC_PRIVATE")}


def is_candidate(name):
    return any(re.fullmatch(pattern, name.lstrip("_")) for pattern in CANDIDATES)


def wrapped(text):
    """{name} that functions.def has."""
    names = set()
    for kind, arguments in re.findall(r"^(FUNCTION|VERSIONED|ALIAS|VARIADIC)\((.*)\)$", text, re.M):
        words = [word.strip() for word in arguments.split(",")]
        names.add(words[1] if kind == "VERSIONED" else words[0])
    return names


def reasoned(text):
    """[(pattern, reason)]: a name, or a name with a '*', a tab or blanks, the reason."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple((*line.split(None, 1), "")[:2]) for line in lines]


def faults(names, wrapped_names, reasons):
    found = []
    covered = set(wrapped_names)
    for pattern, reason in reasons:
        matches = set(fnmatch.filter(names, pattern))
        if not reason.strip():
            found.append(f"{pattern}: no reason is given")
        if not matches:
            found.append(f"{pattern}: listed, but this libc has no such function: take the line out")
        for name in sorted(matches & wrapped_names):
            found.append(f"{name}: listed, but it is wrapped: take the line out")
        for name in sorted(matches):
            if not is_candidate(name):
                found.append(f"{name}: listed, but no pattern of CANDIDATES looks at it: add one")
        covered |= matches
    for name in sorted(names):
        if is_candidate(name) and name not in covered:
            found.append(f"{name}: neither wrapped nor in the list with a reason")
    return found


def prove(names, wrapped_names, reasons):
    """What each way of being wrong looks like; the names of those that were not found."""
    a_name = next(pattern for pattern, _ in reasons if "*" not in pattern)
    a_wrapped = sorted(wrapped_names & names)[0]
    cases = {
        "an unlisted candidate": (names | {"posix_spawn_new"}, wrapped_names, [r for r in reasons if "*" not in r[0]]),
        "libc 2.39's pidfd_spawn": (names | {"pidfd_spawn"}, wrapped_names, reasons),
        "a line that was lost": (names, wrapped_names, [r for r in reasons if r[0] != a_name]),
        "a wrapper that was lost": (names, wrapped_names - {"fork"}, reasons),
        "a name that libc has not": (names, wrapped_names, [*reasons, ("fork_of_old", "a reason")]),
        "a name that is wrapped": (names, wrapped_names, [*reasons, (a_wrapped, "a reason")]),
        "a name without a reason": (names, wrapped_names, [*((p, "") for p, _ in reasons[:1]), *reasons[1:]]),
        "a name that nobody looks at": (names, wrapped_names, [*reasons, ("strlen", "a reason")]),
    }
    return [what for what, case in cases.items() if not faults(*case)]


def own_libc():
    """This machine's, which this interpreter is linked with."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return next(line.split()[-1] for line in maps if re.search(r"/libc\.so\.6$|/libc-2\.\d+\.so$", line.rstrip()))


def main():
    arguments = [a for a in sys.argv[1:] if a != "--prove"]
    names = exported(arguments[2] if len(arguments) > 2 else own_libc())
    assert {"fork", "_exit", "system"} <= names, "this is not what a libc exports"
    definitions, tasks = (open(path, encoding="utf-8").read() for path in arguments[:2])
    case = names, wrapped(definitions), reasoned(tasks)
    wrong = faults(*case)
    if "--prove" in sys.argv and not wrong:
        wrong = [f"not found: {what}" for what in prove(*case)]
    print("\n".join(wrong) or f"ok: {len(names)} functions, {sum(map(is_candidate, names))} candidates")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
