/* SPDX-License-Identifier: MIT */
/*
 * scribbler: another process of the user, which writes into the memory of a session while its programs run.
 *
 *   scribbler JOURNAL SEED MICROSECONDS
 *
 * A burst of a few words about every MICROSECONDS: random ones, small ones, all bits, the neighbour's word; anywhere in any
 * of the session's System V segments. So that programs work with what was written, and not with noise alone, the memory is
 * what it was in between. Or, with MICROSECONDS 0, each segment is removed once, as ipcrm does it. A segment is taken for
 * the session's if its maker was a process of the stress program's terminal session. It ends when the journal says so.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"

enum { MOST = 32 };

static struct journal *journal;
static uint64_t state;
static struct {
    int id;
    size_t size;
    uint64_t *words;
} segments[MOST];
static int count;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dull;
}

static int is_known(int id)
{
    for (int i = 0; i < count; i++)
        if (segments[i].id == id)
            return 1;
    return 0;
}

static void look_for_segments(int remove)
{
    FILE *table = fopen("/proc/sysvipc/shm", "re");
    char line[512];

    while (table && count < MOST && fgets(line, sizeof line, table)) {
        int key, id, mode;
        unsigned long size;
        pid_t maker;

        if (sscanf(line, "%d %d %o %lu %d", &key, &id, (unsigned *)&mode, &size, &maker) != 5 || is_known(id) ||
            (maker != journal->root && getsid(maker) != journal->root))
            continue;
        void *memory = shmat(id, NULL, 0);
        if (memory == (void *)-1)
            continue;
        segments[count].id = id;
        segments[count].size = size;
        segments[count++].words = memory;
        if (remove)
            shmctl(id, IPC_RMID, NULL);
    }
    if (table)
        fclose(table);
}

static void scribble(void)
{
    int which = (int)(next() % (uint64_t)count);
    uint64_t *words = segments[which].words;
    size_t most = segments[which].size / sizeof *words, first = next() % 2 ? most : 1024;

    for (int n = 0; n < 24; n++) {
        size_t at = next() % (first < most ? first : most);
        uint64_t value = next();

        switch (next() % 5) {
        case 0: break;
        case 1: value %= 70000; break;
        case 2: value = ~0ull; break;
        case 3: value = words[next() % most]; break;
        default: value = words[at] ^ 1ull << value % 64; break;
        }
        if (next() % 3)
            __atomic_store_n((uint32_t *)&words[at] + next() % 2, (uint32_t)value, __ATOMIC_RELAXED);
        else
            __atomic_store_n(&words[at], value, __ATOMIC_RELAXED);
    }
}

int main(int argument_count, char **arguments)
{
    struct stat st;

    if (argument_count != 4) {
        fprintf(stderr, "usage: scribbler JOURNAL SEED MICROSECONDS\n");
        return 2;
    }
    int fd = open(arguments[1], O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        perror(arguments[1]);
        return 2;
    }
    journal = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (journal == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    state = strtoull(arguments[2], NULL, 10) * 2 + 1;
    uint32_t pause_us = (uint32_t)atoi(arguments[3]);
    for (uint64_t n = 0; !__atomic_load_n(&journal->over, __ATOMIC_ACQUIRE); n++) {
        struct timespec pause = {0, (long)(pause_us ? pause_us : 1000) * 1000};

        nanosleep(&pause, NULL);
        /* The session is well under way. */
        if (!__atomic_load_n(&journal->root, __ATOMIC_ACQUIRE) || __atomic_load_n(&journal->born, __ATOMIC_ACQUIRE) < 50)
            continue;
        if (n % 64 == 0)
            look_for_segments(pause_us == 0);
        if (pause_us && count)
            scribble();
    }
    return count ? 0 : 3;
}
