#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# The launcher's tests: run.py SOURCE-ROOT BUILD-ROOT [VERSION]. Each test_*.py has the tests of one matter.
import os
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is
import harness  # noqa: E402
import test_completion  # noqa: F401  importing registers the tests
import test_doctor  # noqa: F401
import test_environment  # noqa: F401
import test_files  # noqa: F401
import test_missed  # noqa: F401
import test_options  # noqa: F401
import test_places  # noqa: F401
import test_programs  # noqa: F401
import test_session  # noqa: F401
import test_supervisor  # noqa: F401
import test_terminal  # noqa: F401

if __name__ == "__main__":
    if len(sys.argv) > 3:
        test_options.VERSION = sys.argv[3]
    harness.main(os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]))
