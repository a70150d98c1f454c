# SPDX-License-Identifier: MIT
# What a shell does with children: pipes, subshells, jobs, substitutions, coprocesses, traps, ends of all kinds.

trap 'echo bye >/dev/null' EXIT
trap ': told' USR1

# pipes and subshells, in subshells
for n in 1 2 3; do
    printf '%s\n' a b c | sort -r | (
        read -r first
        (echo "$first" | tr a-z A-Z)
    ) | cat >/dev/null
done

# substitutions
count=$(seq 5 | wc -l)
nested=$(echo "$(echo "$(basename /a/b)")")
diff <(seq "$count") <(seq 3) >/dev/null
: > >(cat >/dev/null)

# jobs
(exit 3) &
/bin/true &
{ sleep 0 | cat; exit 4; } &
wait %1
wait

# a coprocess
coproc worker { while read -r word; do echo "$word$word"; done; }
echo hey >&"${worker[1]}"
read -r answer <&"${worker[0]}"
eval "exec ${worker[1]}>&-"
wait "$worker_PID"

# killed children
sleep 1000 &
kill -TERM $!
wait $!
sleep 1000 &
kill -KILL $!
wait $!
bash -c 'kill -SEGV $$' 2>/dev/null
sh -c 'ulimit -c 0; kill -ABRT $$' 2>/dev/null

# traps that start something, in this shell and in a subshell
trap '/bin/true; (exit 7)' USR1
kill -USR1 $$
(trap 'basename /x/y >/dev/null' EXIT; trap ': | :' TERM; kill -TERM $BASHPID)

# what cannot be run, and what is replaced
no-such-command 2>/dev/null
./ 2>/dev/null
(exec no-such-command) 2>/dev/null
(exec -c /bin/sh -c 'exec /bin/sh -c "exit 9"')
env -i /bin/sh -c '/bin/true; exit 8'
set -m
(exit 5) &
wait
set +m

# left alone: it ends when its parent is gone
(read -r line < <(printf '%s\n' x); (exec 3<&0; true) & exit 0)

[ "$count $nested $answer" = "5 b heyhey" ] || exit 1
exit 42
