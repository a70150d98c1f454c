#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# xargs with two at a time, with failing and killed children.
seq 60 | xargs -P2 -n1 echo | sort -n | tail -3
seq 40 | xargs -P2 -I{} sh -c 'echo $(({} * 2))' | sort -n | head -3
seq 5 | xargs -P2 -n1 sh -c 'exit 1'
echo "some failed: $?"
echo x | xargs sh -c 'exit 255'
echo "stopped: $?"
echo x | xargs -n1 sh -c 'kill -9 $$'
echo "killed: $?"
echo x | xargs /no/such/program
echo "missing: $?"
seq 1000 | xargs -P2 -n100 | wc -l
seq 3 | xargs -n1 -P2 env -i /bin/echo | sort
