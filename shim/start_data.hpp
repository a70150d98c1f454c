// SPDX-License-Identifier: MIT
// Where variables go that each start or each fork writes.
#pragma once

// The page of the dynamic section and the offset table, which the dynamic linker has written to in any case: the library's
// data begin a page (start.ld), and this is the rest of it. Anywhere else in .bss they would be one more page fault in
// each process, and after a fork a page more that parent and child copy. The page has room for 4096 bytes in all:
// tests/abi/start_page.py counts them.
#define START_DATA [[gnu::section(".data")]]  // has a first value
#define START_BSS [[gnu::section(".bss.start")]]
