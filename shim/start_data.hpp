// SPDX-License-Identifier: MIT
// Where variables go that each start writes or reads.
#pragma once

// In .data, whatever the first value: that is the page of the dynamic section and the offset table, which the dynamic
// linker has written to in any case. A variable in .bss would be one more page fault in each process.
#define START_DATA [[gnu::section(".data")]]
