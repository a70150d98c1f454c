/* SPDX-License-Identifier: MIT */
/*
 * Where no watcher wants INIT or CLONE a child is not held. It executes something before its creator has written
 * down what it is, and is the same task all the same: not adopted, and told once.
 *
 * recorder: wants=exec+exit+free
 * watched: part
 */
#include "check.h"

#define ROUNDS 300

int main(void)
{
    uint32_t mark = events_so_far();

    for (int i = 0; i < ROUNDS; i++) {
        pid_t child = fork();

        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(126);
        }
        CHECK_EQUAL(status_of(child), 0);
    }
    CHECK_EQUAL(events_so_far() - mark, 3 * ROUNDS);
    for (uint32_t n = mark; n < events_so_far(); n++) {
        CHECK((event_number(n)->flags & (WATCH_ADOPTED | WATCH_ON_BEHALF)) == 0);
        CHECK_EQUAL(event_number(n)->id, event_number(mark + (n - mark) / 3 * 3)->id);
    }
    return 0;
}
