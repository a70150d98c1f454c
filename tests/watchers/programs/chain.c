/* SPDX-License-Identifier: MIT */
/*
 * main -> outer -> middle -> inner -> a call that is told: chain HOW
 *   fork vfork spawn exec setuid
 *   thread      in a thread with the smallest stack there may be
 *   handler     in a signal handler that interrupted `interrupted`
 *   deep        below a hundred frames of `deep`
 *   no-tables   called through code that no unwind table describes, with a wrong frame pointer
 *   run-time    called through code that was made at run time
 *   loader      while another thread is in dl_iterate_phdr()
 *   load FILE   in the constructor of a library that is being opened
 *   many N      N threads at once, each a hundred times, whose children fork too
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __clang__
#define NO_INLINE __attribute__((noinline))
#else
#define NO_INLINE __attribute__((noinline, noclone)) /* a clone has another name */
#endif

extern char **environ;
static const char *how;

static void reap(pid_t pid)
{
    int status;

    if (pid <= 0 || waitpid(pid, &status, 0) != pid || status != 0)
        _exit(99);
}

NO_INLINE void fork_once(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    reap(pid);
}

NO_INLINE int inner(int n)
{
    char *argv[] = {"true", NULL};
    pid_t pid;

    if (strcmp(how, "vfork") == 0) {
        pid = vfork();
        if (pid == 0) {
            execv("/bin/true", argv);
            _exit(1);
        }
        reap(pid);
    } else if (strcmp(how, "spawn") == 0) {
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) != 0)
            _exit(99);
        reap(pid);
    } else if (strcmp(how, "exec") == 0) {
        execv("/bin/true", argv);
    } else if (strcmp(how, "setuid") == 0) {
        if (setuid(getuid()) != 0)
            _exit(99);
    } else {
        fork_once();
    }
    return n + 1;
}

NO_INLINE int middle(int n)
{
    return inner(n) * 2;
}

NO_INLINE int outer(int n)
{
    return middle(n) + 3;
}

NO_INLINE int deep(int n)
{
    return n == 0 ? outer(1) : deep(n - 1) + 1;
}

static void *in_thread(void *unused)
{
    outer(1);
    return unused;
}

static void with_smallest_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    pthread_attr_init(&attributes);
    if (pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) != 0 ||
        pthread_create(&thread, &attributes, in_thread, NULL) != 0)
        _exit(99);
    pthread_join(thread, NULL);
}

static void handler(int signal)
{
    (void)signal;
    outer(1);
}

NO_INLINE void interrupted(void)
{
    signal(SIGUSR1, handler);
    raise(SIGUSR1);
    __asm__ volatile(""); /* not its last call */
}

/* No .cfi_ lines, and the frame pointer leads nowhere. */
__asm__(".text\n"
        ".type no_tables, @function\n"
        "no_tables:\n"
        "push %rbp\n"
        "mov $0x123456789, %rbp\n"
        "sub $64, %rsp\n"
        "call *%rdi\n"
        "add $64, %rsp\n"
        "pop %rbp\n"
        "ret\n"
        ".size no_tables, . - no_tables\n");
void no_tables(void (*function)(void));

static void made_at_run_time(void (*function)(void))
{
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3};
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*call)(void (*)(void));

    if (memory == MAP_FAILED)
        _exit(77);
    memcpy(memory, code, sizeof code);
    memcpy(&call, &memory, sizeof call);
    call(function);
}

/* --- with the dynamic linker's lock in another thread's hands */

static int ready[2], done[2];

static int hold(struct dl_phdr_info *info, size_t size, void *unused)
{
    char byte = 0;

    (void)info, (void)size, (void)unused;
    if (write(ready[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1)
        _exit(99);
    return 1;
}

static void *hold_lock(void *unused)
{
    dl_iterate_phdr(hold, NULL);
    return unused;
}

NO_INLINE void while_another_iterates(void)
{
    pthread_t thread;
    char byte = 0;

    if (pipe(ready) != 0 || pipe(done) != 0 || pthread_create(&thread, NULL, hold_lock, NULL) != 0 ||
        read(ready[0], &byte, 1) != 1)
        _exit(99);
    outer(1);
    if (write(done[1], &byte, 1) != 1)
        _exit(99);
    pthread_join(thread, NULL);
}

/* --- many at once */

static void *fork_often(void *unused)
{
    for (int i = 0; i < 100; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            fork_once();
            _exit(0);
        }
        reap(pid);
    }
    return unused;
}

static void many(int count)
{
    pthread_t threads[64];

    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, fork_often, NULL) != 0)
            _exit(99);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static void plain(void)
{
    outer(1);
}

int main(int argc, char **argv)
{
    how = argc > 1 ? argv[1] : "fork";
    if (strcmp(how, "thread") == 0)
        with_smallest_stack();
    else if (strcmp(how, "handler") == 0)
        interrupted();
    else if (strcmp(how, "deep") == 0)
        deep(100);
    else if (strcmp(how, "no-tables") == 0)
        no_tables(plain);
    else if (strcmp(how, "run-time") == 0)
        made_at_run_time(plain);
    else if (strcmp(how, "loader") == 0)
        while_another_iterates();
    else if (strcmp(how, "load") == 0)
        return dlopen(argv[2], RTLD_NOW) == NULL;
    else if (strcmp(how, "many") == 0)
        many(atoi(argv[2]));
    else
        return outer(1) != 7;
    return 0;
}
