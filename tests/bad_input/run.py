#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# Bad input: run.py [--without-shim] BUILD-FOLDER [PART-OF-A-SENTENCE]. Configurations, watchers, outputs and
# programs that are wrong or odd, in trees of 50 processes; stderr is compared byte for byte.
#
# --without-shim runs the trees bare. Everything that waits for a line then has to fail: the proof that the
# comparison can.
import os
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is
import harness  # noqa: E402
import test_callbacks  # noqa: F401  importing registers the tests
import test_configuration  # noqa: F401
import test_output  # noqa: F401
import test_programs  # noqa: F401

if __name__ == "__main__":
    words = sys.argv[1:]
    shim = "--without-shim" not in words
    words = [word for word in words if word != "--without-shim"]
    if not 1 <= len(words) <= 2:
        sys.exit("usage: run.py [--without-shim] BUILD-FOLDER [PART-OF-A-SENTENCE]")
    harness.main(os.path.realpath(words[0]), shim, words[1] if len(words) == 2 else "")
