/* SPDX-License-Identifier: MIT */
/*
 * unseen: three threads that libc makes by itself, past every wrapper: one that reads for aio, one that waits for a timer,
 * and one in which the timer's function runs. Then a thread of the program's own.
 */
#include <aio.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static sem_t told;

static void tell(union sigval value)
{
    (void)value;
    sem_post(&told);
}

static void *nothing(void *argument)
{
    return argument;
}

int main(void)
{
    char byte;
    struct aiocb request = {.aio_buf = &byte, .aio_nbytes = 1, .aio_fildes = open("/dev/zero", O_RDONLY)};
    const struct aiocb *requests[] = {&request};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell};
    struct itimerspec soon = {.it_value = {0, 1}};
    pthread_t thread;
    timer_t timer;

    sem_init(&told, 0, 0);
    if (aio_read(&request) != 0 || aio_suspend(requests, 1, NULL) != 0)
        return 90;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &soon, NULL) != 0)
        return 91;
    while (sem_wait(&told) != 0)
        ;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 92;
    return 40;
}
