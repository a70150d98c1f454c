/* SPDX-License-Identifier: MIT */
/*
 * A preload that makes everything that is counted dearer by a tenth or more and by two system calls: with it before the
 * library, each row has to be found too high, or the comparison proves nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

static void waste(unsigned instructions)
{
    syscall(SYS_getpgrp);
    syscall(SYS_getpgrp);
    for (unsigned i = 0; i < instructions / 2; i++)
        __asm__ volatile("");
}

__attribute__((constructor)) static void on_load(void)
{
    waste(200000);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

pid_t fork(void)
{
    waste(10000);
    return NEXT(fork)();
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument)
{
    waste(10000);
    return NEXT(pthread_create)(thread, attributes, start, argument);
}

int seteuid(uid_t user)
{
    waste(10000);
    return NEXT(seteuid)(user);
}
