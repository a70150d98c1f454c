/* SPDX-License-Identifier: MIT */
/*
 * ulimit -f 0: a file or a memory file of ours would end the program with SIGXFSZ. A session is founded, found again
 * and grows.
 */
#include "again.h"

static void no_file(void *unused)
{
    (void)unused;
    limit_to(RLIMIT_FSIZE, 0);
}

int main(void)
{
    enum { more_than_the_first_segment_has = 300 };
    pid_t children[more_than_the_first_segment_has];
    int hold[2];

    no_file(NULL);
    run_after(no_file, NULL, "init clone exec exit free");
    CHECK_EQUAL(pipe(hold), 0);
    for (int i = 0; i < more_than_the_first_segment_has; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            close(hold[1]);
            await_byte(hold[0]);
            _exit(4);
        }
    }
    close(hold[1]);
    for (int i = 0; i < more_than_the_first_segment_has; i++) {
        CHECK_EQUAL(status_of(children[i]), exited(4));
        EXPECT_TASK(children[i], "init clone exit free");
    }
    run_after(no_file, NULL, "init clone exec exit free");
    return 0;
}
