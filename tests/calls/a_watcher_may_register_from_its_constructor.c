/* SPDX-License-Identifier: MIT */
/*
 * A watcher without a descriptor, which registers when it is loaded, is told of every event, the image's own
 * EXEC included, beside one with a descriptor.
 *
 * watchers: {build}/old_style.so recorder
 */
#include <dlfcn.h>

#include "check.h"

int main(void)
{
    char path[4096];
    const int *seen, *registered;
    void *watcher;
    pid_t child;

    snprintf(path, sizeof path, "%s/old_style.so", getenv("TEST_BUILD"));
    watcher = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    CHECK(watcher != NULL);
    seen = dlsym(watcher, "old_style_seen");
    registered = dlsym(watcher, "old_style_registered");
    CHECK(seen && registered);
    CHECK_EQUAL(*registered, 0);
    CHECK_EQUAL(seen[WATCH_TASK_EXEC], 1);
    CHECK_EQUAL(seen[WATCH_TASK_INIT], 0);
    child = fork();
    if (child == 0) {
        CHECK_EQUAL(seen[WATCH_TASK_INIT], 1);
        for (;;)
            pause();
    }
    CHECK_EQUAL(kill(child, SIGKILL), 0);
    CHECK_EQUAL(status_of(child), SIGKILL);
    CHECK_EQUAL(seen[WATCH_TASK_INIT], 1);
    CHECK_EQUAL(seen[WATCH_TASK_CLONE], 1);
    CHECK_EQUAL(seen[6], 1);
    CHECK_EQUAL(seen[7], 1);
    CHECK_EQUAL(setegid(getegid()), 0);
    CHECK_EQUAL(seen[WATCH_TASK_GID], 1);
    EXPECT_TASK(child, "init clone exit+behalf free+behalf");
    return 0;
}
