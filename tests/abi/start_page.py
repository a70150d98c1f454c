#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each start and each fork writes lies in one page of the library (shim/start_data.hpp).

    start_page.py LIBRARY

Each further page is a fault in each process, and after a fork one that parent and child copy.
"""
import re
import subprocess
import sys

PAGE = 4096
# The chain up to its readers' first line: current, lock, 4 snapshots, 4 registrations, epoch, shared pins, a line.
CHAIN_BYTES = 64 + 64 + 320 + 192 + 64 + 64 + 64
WANTED = {"process": r"9taskwatch7processE$", "session": r"9taskwatch7sessionE$", "ledger": r"9taskwatch6ledgerE$",
          "columns": r"9taskwatch7columnsE$", "chain": r"9taskwatch5chainE$", "watchers": r"few_watchersE$", "trace": r"^own$",
          "limit": r"^limit$", "fault": r"^first_rule$", "gates": r"take_gateEiiE4turn$"}


def main():
    library = sys.argv[1]
    headers = subprocess.run(["readelf", "-lW", library], capture_output=True, text=True, check=True).stdout
    begin = int(re.search(r"LOAD +\S+ (0x\w+) .* RW ", headers)[1], 16)
    symbols = re.findall(r"^(\w+) (\w+) [bdBD] (\S+)$", subprocess.run(["nm", "-S", library], capture_output=True, text=True, check=True).stdout, re.M)
    print(f"1..{len(WANTED) + 1}")
    failed = begin % PAGE != 0
    print(f"{'not ' if failed else ''}ok 1 - the library's data begin a page")
    for number, (name, pattern) in enumerate(WANTED.items(), 2):
        found = [(int(address, 16), int(size, 16)) for address, size, symbol in symbols if re.search(pattern, symbol)]
        ends = [address + (CHAIN_BYTES if name == "chain" else size) for address, size in found]
        good = len(found) == 1 and ends[0] <= begin + PAGE
        failed |= not good
        print(f"{'' if good else 'not '}ok {number} - {name} is in it" + ("" if good else f": ends at {list(map(hex, ends))}, the page at {begin + PAGE:#x}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
