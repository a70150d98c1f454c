#!/bin/bash
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# What bash does with processes: pipelines, substitutions, jobs, traps, signals, exec, coprocesses.
set -u
echo one two three | tr ' ' '\n' | sort -r | while read -r word; do echo "<$word>"; done
true | false | (exit 3)
echo "pipe: ${PIPESTATUS[*]}"
value=$(printf 'a%s' "$(printf 'b%s' "$(echo c)")")
echo "nested: $value"
diff <(echo same; echo left) <(echo same; echo right)
echo "diff: $?"
jobs=()
for n in 1 2 3 4 5; do (exit "$n") & jobs+=($!); done
for job in "${jobs[@]}"; do wait "$job"; echo "job: $?"; done
wait
echo "no more jobs: $?"
(kill -TERM $BASHPID) 2>/dev/null
echo "terminated: $?"
sleep 100 &
kill -KILL $!
wait $! 2>/dev/null
echo "killed: $?"
died=0
trap 'died=1' CHLD
(exit 0) &
wait
trap - CHLD
echo "a child died: $died"
trap 'echo got USR1' USR1
bash -c 'kill -USR1 $PPID'
wait
(trap 'echo leaving a subshell' EXIT; exit 4)
echo "subshell: $?"
/no/such/program
echo "missing: $?"
bash -c 'exec /etc/passwd'
echo "not executable: $?"
coproc cat
coprocess=$COPROC_PID
echo through >&"${COPROC[1]}"
read -r line <&"${COPROC[0]}"
exec {COPROC[1]}>&-
wait "$coprocess"
echo "coprocess: $line $?"
env -i /bin/sh -c 'echo "empty: ${HOME-unset}"'
(ulimit -n 20; echo "few descriptors" | cat)
exec 9>file; echo hidden >&9; exec 9>&-; cat file
bash -c 'exec -a other bash -c "echo \$0"'
timeout -s KILL 0.1 sleep 100
echo "timed out: $?"
nohup sh -c 'echo nohup' 2>/dev/null
setsid -w sh -c 'exit 6'
echo "session: $?"
{ echo to stderr >&2; } 2>&1 | cat
exec sh -c 'echo last; exit 7'
