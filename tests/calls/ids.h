/* SPDX-License-Identifier: MIT */
/*
 * The functions that change ids, by name, and the four ids as the kernel shows them in /proc: not asked from
 * libc, which is what is under test.
 */
#ifndef TESTS_IDS_H
#define TESTS_IDS_H

#include <sys/fsuid.h>

#include "check.h"

#define NOBODY 65534u

/* All ids that the function sets become `id`. */
static int by_setuid(uid_t id) { return setuid(id); }
static int by_seteuid(uid_t id) { return seteuid(id); }
static int by_setreuid(uid_t id) { return setreuid(id, id); }
static int by_setresuid(uid_t id) { return setresuid(id, id, id); }
static int by_setfsuid(uid_t id) { return setfsuid(id); }
static int by_setgid(uid_t id) { return setgid(id); }
static int by_setegid(uid_t id) { return setegid(id); }
static int by_setregid(uid_t id) { return setregid(id, id); }
static int by_setresgid(uid_t id) { return setresgid(id, id, id); }
static int by_setfsgid(uid_t id) { return setfsgid(id); }

static const struct id_function {
    const char *name;
    int (*call)(uid_t id);
    uint32_t event;
    uint32_t mask;
    int reads_back; /* the id before it, no error */
} id_functions[] = {
    {"setuid", by_setuid, WATCH_TASK_UID, WATCH_MASK_UID, 0},
    {"seteuid", by_seteuid, WATCH_TASK_UID, WATCH_MASK_UID, 0},
    {"setreuid", by_setreuid, WATCH_TASK_UID, WATCH_MASK_UID, 0},
    {"setresuid", by_setresuid, WATCH_TASK_UID, WATCH_MASK_UID, 0},
    {"setfsuid", by_setfsuid, WATCH_TASK_UID, WATCH_MASK_UID, 1},
    {"setgid", by_setgid, WATCH_TASK_GID, WATCH_MASK_GID, 0},
    {"setegid", by_setegid, WATCH_TASK_GID, WATCH_MASK_GID, 0},
    {"setregid", by_setregid, WATCH_TASK_GID, WATCH_MASK_GID, 0},
    {"setresgid", by_setresgid, WATCH_TASK_GID, WATCH_MASK_GID, 0},
    {"setfsgid", by_setfsgid, WATCH_TASK_GID, WATCH_MASK_GID, 1},
};
#define ID_FUNCTIONS (sizeof id_functions / sizeof *id_functions)

/* Of a thread ("self", "thread-self", or a tid). */
static inline struct task_watch_ids ids_of_thread(const char *thread, uint32_t event)
{
    struct task_watch_ids ids = {0};
    char path[64], line[256];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%s%s/status", strstr(thread, "self") ? "" : "self/task/", thread);
    file = fopen(path, "re");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, event == WATCH_TASK_UID ? "Uid:" : "Gid:", 4) == 0)
            CHECK_EQUAL(sscanf(line + 4, "%u %u %u %u", &ids.real, &ids.effective, &ids.saved, &ids.filesystem), 4);
    fclose(file);
    return ids;
}

static inline void check_ids(struct task_watch_ids seen, struct task_watch_ids expected)
{
    CHECK_EQUAL(seen.real, expected.real);
    CHECK_EQUAL(seen.effective, expected.effective);
    CHECK_EQUAL(seen.saved, expected.saved);
    CHECK_EQUAL(seen.filesystem, expected.filesystem);
}

#endif
