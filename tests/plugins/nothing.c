/* SPDX-License-Identifier: MIT */
/* A shared object that is no watcher: no descriptor, and its constructor registers nothing. */
#include "says.h"

__attribute__((constructor)) static void constructed(void)
{
    says(NULL, 0, "constructor");
}

__attribute__((destructor)) static void destructed(void)
{
    says(NULL, 0, "destructor");
}
