/* SPDX-License-Identifier: MIT */
/*
 * Where a built-in watcher's variables go that each process touches: with the library's own, in the page that the
 * dynamic linker has written to in any case (shim/start_data.hpp). Anywhere else they would be a page fault more in each
 * process. A few hundred bytes, for all watchers together; in a watcher's own file they are variables like others.
 */
#ifndef WATCHERS_START_PAGE_H
#define WATCHERS_START_PAGE_H

#define START_PAGE __attribute__((section(".bss.start")))

#endif /* WATCHERS_START_PAGE_H */
