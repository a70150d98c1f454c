/* SPDX-License-Identifier: MIT */
/*
 * A process that becomes another user and execs goes on in the same session, by each function that makes it that user
 * for good. A third user is not let in, nor anybody when the call failed: the image founds a session of its own
 * then, which another recorder sees.
 *
 * needs: root others
 */
#include <grp.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "again.h"
#include "ids.h"

#define ANOTHER 65533u

static void become(void *function)
{
    const struct id_function *f = function;

    CHECK_EQUAL(setgroups(0, NULL), 0);
    CHECK_EQUAL(setgid(NOBODY), 0);
    CHECK_EQUAL(f->call(NOBODY), 0);
}

/* The session's, whose id is the inode of its mapping. */
static struct shmid_ds segment(void)
{
    struct shmid_ds ds = {0};
    char line[8192];
    unsigned long id = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    CHECK(maps != NULL);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "/SYSV"))
            CHECK_EQUAL(sscanf(line, "%*s %*s %*s %*s %lu", &id), 1);
    fclose(maps);
    CHECK_EQUAL(shmctl((int)id, IPC_STAT, &ds), 0);
    return ds;
}

static void stay_root(void *unused)
{
    (void)unused;
}

/* An image in a session of its own; whether it was met there is what is checked. */
static void expect_another_session(void (*change)(void *), void *argument)
{
    char own[4200], target[4096];
    const struct recording *third = recording_of("third");
    uint32_t before = third->count;
    pid_t child;

    snprintf(own, sizeof own, "file=%s", test_file("third"));
    snprintf(target, sizeof target, "%s/target", getenv("TEST_BUILD"));
    child = fork();
    if (child == 0) {
        change(argument);
        setenv("TASKWATCH_THIRD", own, 1);
        setenv("TASKWATCH_WATCHERS", "third", 1);
        execl(target, "target", "exit", "6", NULL);
        _exit(1);
    }
    CHECK_EQUAL(status_of(child), exited(6));
    CHECK_EQUAL(third->count, before + 3);
    CHECK_EQUAL(third->records[before].event, WATCH_TASK_EXEC);
    CHECK_EQUAL(third->records[before].flags, WATCH_ADOPTED);
    CHECK(third->records[before].session != event_number(0)->session);
    EXPECT_TASK(child, "init clone gid uid exit+behalf free+behalf");
}

static void become_a_third(void *unused)
{
    (void)unused;
    CHECK_EQUAL(setgid(ANOTHER), 0);
    CHECK_EQUAL(setuid(ANOTHER), 0);
}

int main(void)
{
    pid_t child;

    /* A user for a while gives nothing, nor does a call that fails. */
    CHECK_EQUAL(seteuid(NOBODY), 0);
    CHECK_EQUAL(seteuid(0), 0);
    CHECK_EQUAL(segment().shm_perm.uid, 0);
    child = fork();
    if (child == 0) {
        CHECK_EQUAL(setresuid(NOBODY, 0, 0), 0);
        CHECK_EQUAL(seteuid(NOBODY), 0);
        CHECK_EQUAL(setuid(ANOTHER), -1);
        _exit(0);
    }
    CHECK_EQUAL(status_of(child), 0);

    for (size_t i = 0; i < ID_FUNCTIONS; i++) {
        struct shmid_ds ds;

        if (id_functions[i].event != WATCH_TASK_UID || id_functions[i].reads_back ||
            strcmp(id_functions[i].name, "seteuid") == 0)
            continue;
        run_after(become, (void *)&id_functions[i], "init clone gid uid exec exit free");
        ds = segment();
        CHECK_EQUAL(ds.shm_perm.cuid, 0);
        CHECK_EQUAL(ds.shm_perm.uid, NOBODY);
        CHECK_EQUAL(ds.shm_perm.mode & 0777, 0600);
    }
    /* Root goes on in it too, and two users is all. */
    run_after(stay_root, NULL, "init clone exec exit free");
    expect_another_session(become_a_third, NULL);
    CHECK_EQUAL(segment().shm_perm.uid, NOBODY);
    return 0;
}
