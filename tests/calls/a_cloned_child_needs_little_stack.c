/* SPDX-License-Identifier: MIT */
/*
 * Children of clone with 4 KiB of stack, every class of flags: what the library and a watcher need below
 * the child's function fits. The first child is also the one that binds what the library calls.
 *
 * main: exec exit free
 */
#include <sched.h>

#include "check.h"

static int end(void *unused)
{
    (void)unused;
    return 3;
}

int main(void)
{
    static const int flags[] = {0, CLONE_VFORK, CLONE_VM | CLONE_VFORK, CLONE_VM};
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    CHECK_EQUAL(mprotect(memory, 4096, PROT_NONE), 0);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        pid_t child = clone(end, memory + 8192, flags[i] | SIGCHLD, NULL);

        CHECK(child > 0);
        CHECK_EQUAL(status_of(child), exited(3));
        EXPECT_TASK(child, "init clone exit free");
    }
    return 0;
}
