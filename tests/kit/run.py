#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py SOURCE BUILD: what an author of a watcher gets, from an installed tree: the examples at work, a new
watcher out of this tree, the check of a watcher."""
import os
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "launcher"))
import harness  # noqa: E402
import test_check  # noqa: E402,F401  importing registers the tests
import test_examples  # noqa: E402,F401
import test_new_watcher  # noqa: E402,F401

if __name__ == "__main__":
    harness.main(os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]))
