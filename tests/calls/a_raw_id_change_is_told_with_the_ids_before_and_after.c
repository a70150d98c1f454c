/* SPDX-License-Identifier: MIT */
/*
 * setuid, setreuid, setresuid, setfsuid and those of groups through syscall(2): one event with the ids before and
 * after, which are the calling thread's: the kernel changes no other.
 *
 * needs: root
 */
#include <pthread.h>

#include "ids.h"

static const struct {
    const char *name;
    long number;
    uint32_t event;
    int reads_back;
} raw_calls[] = {
    {"SYS_setfsuid", SYS_setfsuid, WATCH_TASK_UID, 1},   {"SYS_setfsgid", SYS_setfsgid, WATCH_TASK_GID, 1},
    {"SYS_setgid", SYS_setgid, WATCH_TASK_GID, 0},       {"SYS_setregid", SYS_setregid, WATCH_TASK_GID, 0},
    {"SYS_setresgid", SYS_setresgid, WATCH_TASK_GID, 0}, {"SYS_setuid", SYS_setuid, WATCH_TASK_UID, 0},
    {"SYS_setreuid", SYS_setreuid, WATCH_TASK_UID, 0},   {"SYS_setresuid", SYS_setresuid, WATCH_TASK_UID, 0},
};

static void *change(void *argument)
{
    size_t i = (size_t)argument;
    uint32_t event = raw_calls[i].event;
    struct task_watch_ids before = ids_of_thread("thread-self", event), after, leader;
    char main_thread[16];
    uint32_t mark = events_so_far();
    long result;

    snprintf(main_thread, sizeof main_thread, "%d", getpid());
    leader = ids_of_thread(main_thread, event);
    errno = 77;
    result = syscall(raw_calls[i].number, NOBODY, NOBODY, NOBODY);
    CHECK_EQUAL(result, raw_calls[i].reads_back ? (long)before.filesystem : 0);
    CHECK_EQUAL(errno, 77);
    after = ids_of_thread("thread-self", event);
    CHECK_EQUAL(after.filesystem, NOBODY);
    check_ids(ids_of_thread(main_thread, event), leader);
    EXPECT_SINCE(mark, event == WATCH_TASK_UID ? "uid" : "gid");
    check_ids(event_number(mark)->old_ids, before);
    check_ids(event_number(mark)->ids, after);
    CHECK_TEXT(event_number(mark)->call, raw_calls[i].name);
    CHECK_EQUAL(event_number(mark)->tgid, getpid());

    /* What a user may not do is the kernel's to say. */
    if (event == WATCH_TASK_UID && !raw_calls[i].reads_back) {
        errno = 0;
        CHECK_EQUAL(syscall(raw_calls[i].number, 0, 0, 0), -1);
        CHECK_EQUAL(errno, EPERM);
        /* An id that looks like an error number. */
        CHECK_EQUAL(syscall(SYS_setfsuid, 4294967200u), NOBODY);
    }
    return NULL;
}

static void *large_id(void *unused)
{
    (void)unused;
    errno = 77;
    CHECK_EQUAL(syscall(SYS_setfsuid, 4294967200u), 0);
    CHECK_EQUAL(syscall(SYS_setfsuid, 0), 4294967200);
    CHECK_EQUAL(errno, 77);
    return NULL;
}

int main(void)
{
    pthread_t thread;

    for (size_t i = 0; i < sizeof raw_calls / sizeof *raw_calls; i++) {
        CHECK_EQUAL(pthread_create(&thread, NULL, change, (void *)i), 0);
        CHECK_EQUAL(pthread_join(thread, NULL), 0);
    }
    CHECK_EQUAL(pthread_create(&thread, NULL, large_id, NULL), 0);
    CHECK_EQUAL(pthread_join(thread, NULL), 0);
    return 0;
}
