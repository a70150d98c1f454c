#!/bin/bash
# SPDX-License-Identifier: MIT
#
# headers.sh SOURCE-ROOT: the installed headers compile without a warning in each language that they promise,
# with the compilers that are here, and have the layout that layout.c says.
set -u
root=$1
folder=$root/tests/abi
failed=0

try() { # COMPILER LANGUAGE STANDARD FILE
    if ! "$1" -x "$2" "-std=$3" -pedantic-errors -Wall -Wextra -Werror -I "$root/include" -fsyntax-only "$4"; then
        echo "not with $1 -std=$3: $4"
        failed=1
    fi
}

compilers=0
for family in gcc:g++ clang:clang++; do
    c=${family%:*} cxx=${family#*:}
    if ! command -v "$c" >/dev/null || ! command -v "$cxx" >/dev/null; then continue; fi
    compilers=$((compilers + 1))
    for standard in c99 c11 c17; do
        try "$c" c "$standard" "$folder/layout.c"
        try "$c" c "$standard" - <<<'#include <taskwatch/notifier.h>'
    done
    for standard in c++11 c++14 c++17 c++20; do
        try "$cxx" c++ "$standard" "$folder/layout.c"
    done
    try "$cxx" c++ c++20 - <<<'#include <taskwatch/taskwatch.hpp>'
done
[[ $compilers -gt 0 ]] || { echo "no compiler found"; failed=1; }
exit $failed
