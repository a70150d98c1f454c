/* SPDX-License-Identifier: MIT */
/*
 * A watcher that wants some events is told of these and no others, next to one that wants all.
 *
 * watchers: second recorder third
 * second: wants=clone+free
 * third: wants=exec
 * watched: part
 */
#include "check.h"

static void expect(const char *recorder, uint32_t mark, const char *sequence)
{
    struct recording *r = recording_of(recorder);
    char text[1000] = "";

    for (uint32_t i = mark; i < r->count; i++)
        append_event(text, sizeof text, &r->records[i]);
    CHECK_TEXT(text, sequence);
}

int main(void)
{
    uint32_t all = recording_of("recorder")->count, some = recording_of("second")->count,
             one = recording_of("third")->count;
    pid_t child = fork();

    CHECK_EQUAL(one, 1);
    CHECK_EQUAL(some, 0);
    if (child == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(126);
    }
    CHECK_EQUAL(status_of(child), 0);
    child = vfork();
    if (child == 0)
        _exit(1);
    CHECK_EQUAL(status_of(child), exited(1));
    expect("recorder", all, "init clone exec exit free init clone exit free");
    expect("second", some, "clone free clone free");
    expect("third", one, "exec");
    return 0;
}
