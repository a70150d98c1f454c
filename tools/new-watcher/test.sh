#!/bin/sh
# test.sh LAUNCHER WATCHER: the watcher under a real program.
set -u

said=$("$1" -w "$2:deny=false" -- sh -c '/bin/true; /bin/false' 2>&1)
echo "$said"

# It tells of what is executed ...
echo "$said" | grep -q '^@NAME@: sh$' || exit 1
echo "$said" | grep -q '^@NAME@: true$' || exit 1
# ... and not of what it refused.
echo "$said" | grep -q '^@NAME@: false$' && exit 1
echo "$said" | grep -q 'Permission denied'
