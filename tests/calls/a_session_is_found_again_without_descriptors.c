/* SPDX-License-Identifier: MIT */
/*
 * After every descriptor but the standard ones was closed, and after all but one could not be opened any more, an
 * exec's new image is the same task in the same session. (With three descriptors open and no fourth allowed ld.so
 * could not load the image's libraries.)
 */
#include "again.h"

static void close_all(void *unused)
{
    (void)unused;
    CHECK_EQUAL(close_range(3, ~0u, 0), 0);
}

static void allow_three(void *unused)
{
    close_all(unused);
    close(STDIN_FILENO);
    limit_to(RLIMIT_NOFILE, 3);
}

int main(void)
{
    run_after(close_all, NULL, "init clone exec exit free");
    run_after(allow_three, NULL, "init clone exec exit free");
    return 0;
}
