# SPDX-License-Identifier: MIT
# bash's completion, asked as bash asks it.
import os

from harness import Skip, equal, holds, read, test

LIBRARY = "/usr/share/bash-completion/bash_completion"
ASK = """
compopt() { :; }  # it works inside of readline's own call only
source "$1" && source "$2" && shift 2
COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_WORDS=()
# As readline splits it.
line=$COMP_LINE
while [[ $line ]]; do
    [[ $line =~ ^\\ *([^ =:]+|[=:]+) ]] || break
    COMP_WORDS+=("${BASH_REMATCH[1]}") line=${line:${#BASH_REMATCH[0]}}
done
[[ $COMP_LINE != *[\\ =:] ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_taskwatch "${COMP_WORDS[0]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def complete(tree, line):
    if not os.path.exists(LIBRARY):
        raise Skip("no bash-completion")
    script = os.path.join(tree.source, "scripts", "completions", "taskwatch")
    result = tree.bare("bash", "-O", "extglob", "-c", ASK, "bash", LIBRARY, script, *f"{tree.launcher} {line}".split(" "))
    equal(result.stderr, "", line)
    return set(result.stdout.split())


@test("completion: every option of --help")
def _(tree):
    helped = complete(tree, "-")
    page = read(os.path.join(tree.source, "man", "taskwatch.1"))
    for option in ("-w", "--watcher", "--inject", "--no-follow", "--color", "-q", "--version"):
        holds(option in helped, option)
        holds(".It Fl " + option.replace("-", "", 1).replace("-", "\\-") in page or "Fl " in page)
    equal(complete(tree, "--no-f"), {"--no-follow"})
    equal(complete(tree, "--json --max"), {"--max-tasks"})


@test("completion: the watchers, the events, colours and files, where they are values")
def _(tree):
    holds({"trace", "limit", "fault"} <= complete(tree, "-w "))
    equal(complete(tree, "-w tr"), {"trace"})
    equal(complete(tree, "--watcher=tr"), {"trace"})
    equal(complete(tree, "-e exec,ex"), {"exec,exec", "exec,exit"})
    equal(complete(tree, "--color=a"), {"auto", "always"})
    equal(complete(tree, "--new-watcher mine --language c"), {"c", "c++"})
    tree.file("own.so")
    tree.file("own.txt")
    equal(complete(tree, "-w ./o"), {"./own.so"})
    equal(complete(tree, "--check o"), {"own.so"})
    equal(complete(tree, "-o own.t"), {"own.txt"})


@test("completion: behind the options, the program and its own words")
def _(tree):
    holds("make" in complete(tree, "-w trace:format=json,argv=0 --json mak"))
    holds("make" in complete(tree, "-- mak"))
    tree.file("LISTED")
    equal(complete(tree, "-o t.jsonl --color=never ls LIS"), {"LISTED"})
    equal(complete(tree, "-- ls -w LIS"), {"LISTED"})
