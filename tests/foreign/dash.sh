#!/bin/dash
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# The same in dash, which vforks.
set -u
echo one two | tr a-z A-Z | cat
x=$(echo inner; exit 3)
echo "$x $?"
(exit 5)
echo $?
sleep 100 & kill -9 $!; wait $!; echo $?
for i in 1 2 3; do sh -c "exit $i" & done; wait; echo "all: $?"
/bin/true && /bin/false || echo "false: $?"
no-such-command; echo "missing: $?"
trap 'echo at exit' EXIT
sh -c 'kill -15 $$'; echo "killed: $?"
cat <<X
here $(date -u -d @0 +%Y)
X
find . -name nothing
seq 50 | while read -r n; do /bin/echo "$n"; done | tail -1
echo "$(set -- a b c; echo $#)"
eval "$(echo 'echo evaluated')"
( ( ( exit 9 ) ) ); echo $?
(sh -c 'sleep 0.05; exit 1' & wait $!); echo $?
exit 8
