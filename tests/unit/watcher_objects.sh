#!/bin/sh
# SPDX-License-Identifier: MIT
# What each process of a session pays for a watcher: it needs libc alone, has two segments, exports its
# descriptor alone, and leaves nothing for the dynamic linker to do inside a callback.
# usage: watcher_objects.sh FILE.so...
set -u
failures=0

fail() {
    echo "$1: $2" >&2
    failures=$((failures + 1))
}

[ $# -gt 0 ] || fail "$0" 'no files given'
for file; do
    needed=$(readelf -dW "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
    case $file in # the one that needs more: it walks stacks
    */stack.so) alone='libunwind-x86_64.so.8
libc.so.6' ;;
    *) alone=libc.so.6 ;;
    esac
    [ "$needed" = "$alone" ] || fail "$file" "needs '$needed', not '$alone' alone"

    segments=$(readelf -lW "$file" | grep -c '^ *LOAD ')
    [ "$segments" = 2 ] || fail "$file" "has $segments segments, not 2"
    readelf -lW "$file" | grep -q 'GNU_RELRO' && fail "$file" 'has a segment to be made read-only at start-up'
    readelf -lW "$file" | grep -Eq '^ *(LOAD|GNU_STACK) .* RWE ' && fail "$file" 'can execute what it can write'

    exported=$(nm -D --defined-only "$file" | awk '{print $3}')
    [ "$exported" = taskwatch_watcher ] || fail "$file" "exports '$exported', not taskwatch_watcher alone"

    readelf -dW "$file" | grep -q 'BIND_NOW' || fail "$file" 'is bound lazily: inside a callback'
    readelf -dW "$file" | grep -Eq '\((INIT|FINI|INIT_ARRAY|FINI_ARRAY)\)' && fail "$file" 'runs code when it is loaded'
    # What libc may allocate, lock or interpret has no place in a callback.
    forbidden=$(nm -D --undefined-only "$file" | awk '{print $2}' | sed 's/@.*//' |
        grep -Ex 'malloc|calloc|realloc|free|v?f?s?n?printf|fopen|fputs|puts|getenv|dlsym|dlopen|pthread_mutex_lock|__tls_get_addr')
    [ -z "$forbidden" ] || fail "$file" "calls $forbidden"
done
[ "$failures" = 0 ]
