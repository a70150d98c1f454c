#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# Programs that become somebody else, as root.
setpriv --reuid 65534 --regid 65534 --clear-groups id -u
setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'id -g; exit 3'
echo "ended: $?"
setpriv --reuid 65534 --clear-groups sh -c 'setpriv --reuid 0 true'
echo "refused: $?"
setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs sh -c 'echo a | cat; (exit 3); echo $?'
chroot / sh -c 'echo in the same root | cat'
