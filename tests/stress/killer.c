/* SPDX-License-Identifier: MIT */
/*
 * killer: sends signals to tasks of one session while they live, and writes down each one.
 *
 *   killer JOURNAL LOG SEED MICROSECONDS
 *
 * Which task: one that is inside a callback of the journal (a deliverer), or one that was heard of lately. Which signal:
 * SIGKILL mostly, SIGSEGV, SIGTERM, or SIGSTOP and a little later SIGCONT. About one every MICROSECONDS. It ends when the
 * journal says that it is over; whoever it stopped goes on by then.
 *
 * Pids are reused, and the machine is not ours alone: a process is taken by a descriptor first, and only then asked for its
 * terminal session, which must be the stress program's. The first process is left alone: it tells at the end what is owed.
 *
 * LOG: "nanoseconds pid signal" a line, CLOCK_BOOTTIME, written before the signal is sent.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"

enum { RECENT = 96, STOPPED_MOST = 8 };

static struct journal *journal;
static FILE *record;
static uint64_t state;

static uint32_t next(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct {
    int descriptor;
    pid_t pid;
    uint64_t until;
} stopped[STOPPED_MOST];

static void say(pid_t pid, int number)
{
    fprintf(record, "%llu %d %d\n", (unsigned long long)now(), pid, number);
    fflush(record);
}

static void let_go(uint64_t time)
{
    for (int i = 0; i < STOPPED_MOST; i++) {
        if (!stopped[i].descriptor || stopped[i].until > time)
            continue;
        syscall(SYS_pidfd_send_signal, stopped[i].descriptor, SIGCONT, NULL, 0);
        close(stopped[i].descriptor);
        stopped[i].descriptor = 0;
    }
}

static pid_t choose(void)
{
    uint32_t count = __atomic_load_n(&journal->count, __ATOMIC_ACQUIRE);

    if (count > journal->capacity)
        count = journal->capacity;
    if (count == 0)
        return 0;
    if (next() % 2) {
        /* A deliverer, if one is found in a callback. */
        for (uint32_t n = 1; n <= RECENT && n <= count; n++) {
            struct entry *entry = &journal->entries[count - n];

            if (__atomic_load_n(&entry->state, __ATOMIC_ACQUIRE) == ENTRY_BEGUN)
                return entry->process;
        }
    }
    struct entry *entry = &journal->entries[count - 1 - next() % (count < RECENT ? count : RECENT)];
    return next() % 2 ? entry->process : entry->tgid;
}

static void strike(void)
{
    static const int numbers[] = {SIGKILL, SIGKILL, SIGKILL, SIGKILL, SIGSEGV, SIGTERM, SIGSTOP, SIGSTOP};
    int number = numbers[next() % 8], place = 0;
    pid_t pid = choose();

    if (pid <= 0 || pid == journal->root)
        return;
    int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
    if (descriptor < 0)
        return;
    if (getsid(pid) != journal->root) {
        close(descriptor);
        return;
    }
    if (number == SIGSTOP) {
        while (place < STOPPED_MOST && stopped[place].descriptor)
            place++;
        if (place == STOPPED_MOST)
            number = SIGKILL;
    }
    say(pid, number);
    syscall(SYS_pidfd_send_signal, descriptor, number, NULL, 0);
    if (number != SIGSTOP) {
        close(descriptor);
        return;
    }
    stopped[place].descriptor = descriptor;
    stopped[place].pid = pid;
    stopped[place].until = now() + 500000 + next() % 8000000;
}

int main(int count, char **arguments)
{
    struct stat st;

    if (count != 5) {
        fprintf(stderr, "usage: killer JOURNAL LOG SEED MICROSECONDS\n");
        return 2;
    }
    int fd = open(arguments[1], O_RDWR | O_CLOEXEC);
    record = fopen(arguments[2], "we");
    if (fd < 0 || !record || fstat(fd, &st) != 0) {
        perror(arguments[1]);
        return 2;
    }
    journal = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (journal == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    state = strtoull(arguments[3], NULL, 10) ^ 0x9e3779b97f4a7c15u;
    uint32_t pause_us = (uint32_t)atoi(arguments[4]);
    while (!__atomic_load_n(&journal->over, __ATOMIC_ACQUIRE)) {
        struct timespec pause = {0, (long)(next() % (2 * pause_us) + 1) * 1000};

        nanosleep(&pause, NULL);
        let_go(now());
        if (pause_us < 400000 && __atomic_load_n(&journal->root, __ATOMIC_ACQUIRE))
            strike();
    }
    let_go(UINT64_MAX);
    return 0;
}
