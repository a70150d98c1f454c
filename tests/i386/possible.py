#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""possible.py yes|no: a skip with its reason where 32-bit programs cannot be built."""
import os
import sys

if sys.argv[1] != "yes":
    print("skipped: needs x86-64, gcc without sanitizers, gcc-multilib and g++-multilib")
    sys.exit(1 if os.environ.get("TASKWATCH_TESTS_MUST_RUN") == "1" else 77)
