#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# A debugger that follows the child of a fork, and one that follows the parent.
cat >program.c <<'C'
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int code(void)
{
    return 3;
}
int main(void)
{
    int status;
    if (fork() == 0)
        _exit(code());
    wait(&status);
    printf("child %d\n", status >> 8);
    return 4;
}
C
gcc -g -o program program.c
for mode in parent child; do
    gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'set startup-with-shell off' -ex "set follow-fork-mode $mode" \
        -ex 'break code' -ex run -ex 'print 6 * 7' -ex continue ./program 2>&1 |
        sed -n 's/process [0-9]*/process N/g; s/inferior [0-9] (process N)/inferior/; /^child\|exited\|^\$1\|Breakpoint/p' |
        sed 's/ at .*//; s/, .*in /in /; s/0x[0-9a-f]*/ADDRESS/g' | sort
done
