#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A watcher under real programs: run.py WATCHER SOURCE BUILD. Prints TAP. The tests are in test_WATCHER.py."""
import importlib
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "launcher"))
import harness  # noqa: E402

importlib.import_module("test_" + sys.argv[1])
harness.main(*map(os.path.realpath, sys.argv[2:4]))
