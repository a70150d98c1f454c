#!/bin/bash
# SPDX-License-Identifier: MIT
#
# objects.sh LIBRARY WATCHER...: what is mapped into each process needs libc.so.6 and nothing else, writes to
# no code, and is never unloaded under our handlers. The library has one constructor, its start; the watchers
# have none and export their descriptor alone.
set -u
failed=0

expect() { # WHAT SEEN EXPECTED
    [[ $2 == "$3" ]] && return
    printf '%s\n  seen:     %s\n  expected: %s\n' "$1" "$2" "$3"
    failed=1
}

needed() { readelf -dW "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' '; }

# Functions that run when the object is loaded, eight bytes each, and old-style ones.
constructors() {
    local entries
    entries=$(readelf -SW "$1" | sed -n 's/.*\.init_array *INIT_ARRAY *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\).*/\1/p')
    echo $(($((16#${entries:-0})) / 8)) "$(readelf -SW "$1" | grep -cE ' \.(init|ctors|preinit_array) ')"
}

exported() { nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | tr '\n' ' '; }

library=$1
expect "$library needs" "$(needed "$library")" "libc.so.6 "
expect "constructors of $library" "$(constructors "$library")" "1 0"
expect "undefined symbols of $library from elsewhere than libc and the loader" \
    "$(nm -D --undefined-only "$library" | awk '{ print $2 }' | grep -vE '@(GLIBC_|$)|^_r_debug$' | grep '@' | tr '\n' ' ')" ""
readelf -dW "$library" | grep -q NODELETE || expect "$library" "may be unloaded" "NODELETE"
for object; do
    readelf -dW "$object" | grep -q TEXTREL && expect "$object" "relocations in its code" "none"
    readelf -lW "$object" | grep -q 'GNU_STACK.*RWE' && expect "$object" "an executable stack" "none"
done
shift
for watcher; do
    # The one that needs more: it walks stacks.
    case $watcher in
    */stack.so) expect "$watcher needs" "$(needed "$watcher")" "libunwind-x86_64.so.8 libc.so.6 " ;;
    *) expect "$watcher needs" "$(needed "$watcher")" "libc.so.6 " ;;
    esac
    expect "constructors of $watcher" "$(constructors "$watcher")" "0 0"
    expect "exports of $watcher" "$(exported "$watcher")" "taskwatch_watcher "
done
exit $failed
