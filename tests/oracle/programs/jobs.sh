# SPDX-License-Identifier: MIT
# As jobs.bash, for a shell that starts simple commands by vfork.

trap : USR1
seq 3 | sort -r | while read -r n; do basename "/a/$n"; done >/dev/null
total=$(expr 1 + "$(seq 4 | wc -l)")
(sleep 0; exit 3) &
wait $!
sleep 1000 &
kill -9 $!
wait $! 2>/dev/null
kill -USR1 $$
(exec /bin/true)
(exec /nowhere) 2>/dev/null
no-such-command 2>/dev/null
env -i sh -c '(exit 2); /bin/true'
cat <<END | cat >/dev/null
$(echo here)
END
sh -c 'ulimit -c 0; kill -ABRT $$' 2>/dev/null
(true & exit 0)
[ "$total" = 5 ] || exit 1
exec sh -c 'exit 17'
