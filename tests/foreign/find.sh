#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# find with a child for each file, for many, and in a folder; failing ones.
mkdir -p a/b c
for n in 1 2 3 4 5 6 7 8; do echo "$n" >"a/b/file$n"; done
find a -type f -exec cat {} \; | sort
find a -type f -exec echo {} + | wc -w
find a -name 'file[12]' -execdir sh -c 'echo "$(basename "$PWD") $1"' sh {} \; | sort
find a -type f -exec false {} \; -print
find a -type f -exec sh -c 'exit 2' {} +
echo "failed: $?"
find a -type f -exec /no/such/program {} \; 2>&1 | sort | uniq -c
find a -type f -name 'file1' -exec sh -c 'kill -9 $$' \; -print
echo "killed: $?"
find a -depth -exec rm -r {} \; 2>/dev/null
find .
