#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# The driver: preprocessor, assembler and linker as children, with pipes, with its own link-time workers, and
# with errors from each of them.
echo 'int twice(int x) { return 2 * x; }' >a.c
echo '#include <stdio.h>
int twice(int); int main(void) { printf("%d\n", twice(21)); return 0; }' >b.c
gcc -O2 -pipe -c a.c && gcc -O2 -flto=2 -o program a.c b.c && ./program
gcc -save-temps -o program a.c b.c && ls
echo 'int main(void) { return missing(); }' >c.c
gcc -Werror=implicit-function-declaration -c c.c
echo "error: $?"
gcc -w -o nothing c.c 2>&1 | sed 's/cc[A-Za-z0-9]*\.o/OBJECT/'
echo "no link: $?"
gcc -E -P a.c
gcc -S -o - a.c | grep -c ret
gcc nothing-there.c
echo "no file: $?"
