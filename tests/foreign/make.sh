#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=all  # odd constructs are what is under test
# A parallel build of twelve files, with a failing rule, recursion, and $(shell).
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
    echo "int f$n(void) { return $n; }" >"f$n.c"
done
cat >main.c <<'C'
#include <stdio.h>
int f1(void), f12(void);
int main(void) { printf("%d\n", f1() + f12()); return 0; }
C
cat >Makefile <<'M'
objects := $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
made_by := $(shell echo shell; exit 3)
program: $(objects)
	gcc -o $@ $^
	@echo linked by $(made_by)
again:
	@$(MAKE) --no-print-directory inner
inner:
	@echo inner; ./program
failing: ; @exit 5
ignored:
	-@false
	@echo went on
M
make -j2 2>&1 | sort
./program
make -s again
make failing
echo "failed: $?"
make -k -j2 failing ignored 2>&1 | sort
make -q program
echo "up to date: $?"
touch f3.c
make -j2 -Oline | sort
