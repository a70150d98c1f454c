#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""added.py BUILD [NAME...]: what each watcher adds to an exec of /bin/true in a session that lives: instructions
(callgrind) and system calls (strace) above those of the library without watchers. Its records go to /dev/null."""
import os
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "counted"))
import count  # noqa: E402

OPTIONS = {
    "trace": "format=json,output=/dev/null",
    "limit": "tasks=100000",
    "fault": "on=init,when=1000000000",
    "acct": "output=/dev/null,top=0",
    "privdrop": "output=/dev/null",
    "leak": "",
    "stack": "output=/dev/null",
    "busy": "us=0",
}


def main():
    build, names = os.path.abspath(sys.argv[1]), sys.argv[2:] or list(OPTIONS)
    print(f"{'watcher':9} {'instructions':>12} {'system calls':>12}")
    with tempfile.TemporaryDirectory(prefix="taskwatch-added.", dir="/tmp") as scratch:
        counter = count.Counter(build, scratch, [])
        counter.target = "/bin/true"
        # Those that are built in stay so: a file in TASKWATCH_PATH would come first.
        for name in set(names) - {"trace", "limit", "fault"}:
            shutil.copy(f"{build}/watchers/{name}.so", scratch)
        for name in names:
            def environment(watchers):
                return counter.environment(watchers) | {"TASKWATCH_PATH": scratch}
            watched = {name: OPTIONS[name]}
            with count.Session(environment(watched)) as counter.session:
                added = [function(environment(watched), [counter.target]) - function(environment({}), [counter.target])
                         for function in (counter.instructions, counter.system_calls)]
            counter.session = None
            print(f"{name:9} {added[0]:12,} {added[1]:12,}", flush=True)


if __name__ == "__main__":
    main()
