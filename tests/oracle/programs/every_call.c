/* SPDX-License-Identifier: MIT */
/*
 * every_call SEED [DEPTH]: makes tasks with every wrapped call. The first process uses each way to make, replace,
 * re-identify and end a task in turn, then all of them nest at random, from the seed, which it prints. Children
 * that share memory only exec or end. Every child is waited for, in all five ways; what becomes of the results is not
 * looked at: the kernel is the judge, run.py compares.
 *
 * Ways to make a task that get a wrapper later are one more entry in `makers`.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#define DEEPEST 3
#define TURNS 5
#define COUNT(array) (sizeof(array) / sizeof *(array))

extern int old_posix_spawn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const *, char *const *);
__asm__(".symver old_posix_spawn, posix_spawn@GLIBC_2.2.5");

static char self[4096], folder[4096], search_path[4200];
static unsigned long state;
static unsigned depth;
/* One for each level: a child in its own memory runs on its creator's while it makes others. */
static char stacks[DEEPEST + 3][1 << 15] __attribute__((aligned(16)));
static char *no_environment[] = {NULL};

static unsigned pick(unsigned most)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 11) % most;
}

static const char *beside(const char *name)
{
    static char path[4200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* --- replacing the image */

static char seed_text[24], depth_text[12];
static char *again[] = {self, seed_text, depth_text, NULL};

static void prepare_image(void)
{
    snprintf(seed_text, sizeof seed_text, "%lu", (unsigned long)pick(1000000) + 1);
    snprintf(depth_text, sizeof depth_text, "%u", depth + 1);
}

static void become_static(void)
{
    execl(beside("still"), "still", NULL);
}

static void become_script(void)
{
    execl(beside("script"), "script", NULL);
}

/* The kernel tells such an image that it is to be secure: ld.so preloads nothing. */
static void become_secure(void)
{
    if (setreuid((uid_t)-1, 11) == 0)
        execl("/bin/true", "true", NULL);
}

/* A process that exits under its own code in the end: what fails must not end it. */
static void replace_image(unsigned way, int cleared)
{
    char **environment = cleared ? no_environment : environ;

    switch (way % 12) {
    case 0: execve(self, again, environment); break;
    case 1: execv(self, again); break;
    case 2: execvp("every_call", again); break;
    case 3: execvpe("every_call", again, environment); break;
    case 4: execl(self, self, seed_text, depth_text, NULL); break;
    case 5: execlp("every_call", self, seed_text, depth_text, NULL); break;
    case 6: execle(self, self, seed_text, depth_text, NULL, environment); break;
    case 7: fexecve(open(self, O_RDONLY | O_CLOEXEC), again, environment); break;
    case 8: execveat(AT_FDCWD, self, again, environment, 0); break;
    case 9: become_static(); break;
    case 10: become_script(); break;
    case 11: become_secure(); break;
    }
}

/* --- ids: each call, back again, without effect, refused, and for good */

static void change_ids(void)
{
    int refused = 0;

    setfsgid(12), setfsgid(0), setfsuid(12), setfsuid(0);
    refused += setegid(11) + setegid(0) + setregid((gid_t)-1, 11) + setregid(0, 0);
    refused += setresgid(11, 12, 0) + setresgid(0, 0, 0) + setgid(5) + setgid(0);
    refused += seteuid(11) + seteuid(0) + setreuid(11, 0) + setreuid(0, 0);
    refused += setresuid(11, 11, 0) + setuid(0) + setresuid(0, 0, 0) + setuid(0) + setuid(11) + setuid(0);
    _exit(refused == -1 ? 0 : 1);
}

/* --- ends */

static void end(unsigned way)
{
    int code = (int)pick(256);

    switch (way % 7) {
    case 0: exit(code);
    case 1: _exit(code);
    case 2: _Exit(code);
    case 3: quick_exit(code);
    case 4: kill(getpid(), SIGKILL); break;
    case 5: signal(SIGSEGV, SIG_DFL); raise(SIGSEGV); break;
    case 6: execv("/nowhere", again); break;
    }
    _exit(code);
}

static void await_children(void)
{
    struct rusage usage;
    siginfo_t info;
    pid_t pid;

    for (errno = 0; errno != ECHILD;) {
        switch (pick(5)) {
        case 0: pid = wait(NULL); break;
        case 1: pid = waitpid(-1, NULL, 0); break;
        case 2: pid = wait3(NULL, 0, &usage); break;
        case 3: pid = wait4(-1, NULL, 0, &usage); break;
        default: pid = waitid(P_ALL, 0, &info, WEXITED); break;
        }
        if (pid >= 0)
            errno = 0;
    }
}

/* --- making tasks. `way` picks what the child does. */

static void nest(void);

/* In a child with its own memory. */
static _Noreturn void live(unsigned way)
{
    depth++;
    if (pick(3) == 0)
        nest();
    await_children();
    depth--;
    prepare_image();
    if (pick(2) == 0)
        replace_image(way, way & 1);
    end(way);
    abort();
}

static void make_fork(unsigned way)
{
    if (fork() == 0)
        live(way);
}

static void make_bare_fork(unsigned way)
{
    if (_Fork() == 0)
        live(way);
}

static void make_vfork(unsigned way)
{
    pid_t pid;

    prepare_image();
    pid = vfork();
    if (pid == 0) {
        if (way % 4)
            execve(self, again, way & 1 ? no_environment : environ);
        _exit((int)way & 0x7f);
    }
}

/* The program's own: the next image of the vfork child makes a vfork child again. */
static void make_nested_vfork(unsigned way)
{
    if (vfork() == 0) {
        if (vfork() == 0)
            _exit((int)way & 0x7f);
        _exit(3);
    }
}

static int live_in_clone(void *argument)
{
    live((unsigned)(unsigned long)argument);
}

static int exec_in_clone(void *argument)
{
    if ((unsigned long)argument % 3)
        execv(self, again);
    return (int)(unsigned long)argument & 0x7f;
}

static int return_at_once(void *argument)
{
    return (int)(unsigned long)argument & 0x7f;
}

static void make_clone(unsigned way)
{
    clone(live_in_clone, stacks[depth + 1], SIGCHLD, (void *)(unsigned long)way);
}

static void make_suspending_clone(unsigned way)
{
    prepare_image();
    clone(exec_in_clone, stacks[depth + 1], CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)(unsigned long)way);
}

static void make_suspending_copy(unsigned way)
{
    clone(live_in_clone, stacks[depth + 1], CLONE_VFORK | SIGCHLD, (void *)(unsigned long)(way % 4));
}

/* Its stack is used again: it is waited for at once. */
static void make_concurrent_clone(unsigned way)
{
    if (clone(return_at_once, stacks[depth + 1], CLONE_VM | SIGCHLD, (void *)(unsigned long)way) > 0)
        await_children();
}

static void make_sibling(unsigned way)
{
    clone(return_at_once, stacks[depth + 1], CLONE_PARENT | SIGCHLD, (void *)(unsigned long)way);
}

static void make_bare_thread(unsigned way)
{
    static pid_t alive;
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                      CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    pid_t tid;

    (void)way;
    alive = 1;
    if (clone(return_at_once, stacks[depth + 1], flags, NULL, &tid, NULL, &alive) > 0)
        while ((tid = __atomic_load_n(&alive, __ATOMIC_SEQ_CST)) != 0)
            syscall(SYS_futex, &alive, FUTEX_WAIT, tid, NULL, NULL, 0);
}

static void *make_in_thread(void *argument)
{
    if ((unsigned long)argument % 2)
        make_fork((unsigned)(unsigned long)argument);
    return NULL;
}

static void make_thread(unsigned way)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, make_in_thread, (void *)(unsigned long)way) == 0)
        pthread_join(thread, NULL);
}

static void make_c11_thread(unsigned way)
{
    thrd_t thread;

    if (thrd_create(&thread, return_at_once, (void *)(unsigned long)way) == thrd_success)
        thrd_join(thread, NULL);
}

static void make_spawn(unsigned way)
{
    pid_t pid;

    prepare_image();
    switch (way % 4) {
    case 0: posix_spawn(&pid, self, NULL, NULL, again, way & 8 ? no_environment : environ); break;
    case 1: posix_spawnp(&pid, "every_call", NULL, NULL, again, environ); break;
    case 2: old_posix_spawn(&pid, self, NULL, NULL, again, environ); break;
    case 3: posix_spawn(&pid, "/nowhere", NULL, NULL, again, environ); break;
    }
}

static void make_other_image(unsigned way)
{
    if (fork() == 0) {
        replace_image(9 + way % 3, 0);
        _exit(1);
    }
}

/* The grandchild ends when its parent is gone: nobody of the tree waits for it. */
static void make_orphan(unsigned way)
{
    int ends[2];
    char byte;

    if (pipe(ends) != 0)
        return;
    if (fork() == 0) {
        if (fork() == 0) {
            close(ends[1]);
            if (read(ends[0], &byte, 1) >= 0)
                _exit((int)way & 0x7f);
        }
        _exit(0);
    }
    close(ends[0]);
    close(ends[1]);
}

static void make_other_ids(unsigned way)
{
    (void)way;
    if (fork() == 0)
        change_ids();
}

static void (*const makers[])(unsigned) = {
    make_fork,  make_bare_fork,   make_vfork,  make_nested_vfork, make_clone, make_suspending_clone, make_suspending_copy,
    make_concurrent_clone, make_sibling, make_bare_thread, make_spawn, make_other_image, make_orphan, make_other_ids,
    make_thread, make_c11_thread,
};

static void nest(void)
{
    if (depth > DEEPEST)
        return;
    for (unsigned n = 1 + pick(3); n > 0; n--)
        makers[pick(COUNT(makers))](pick(1000));
}

int main(int argc, char **argv)
{
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    if (argc < 2 || length <= 0)
        return 99;
    strcpy(folder, self);
    *strrchr(folder, '/') = '\0';
    snprintf(search_path, sizeof search_path, "PATH=%s:/usr/bin:/bin", folder);
    putenv(search_path);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    state = strtoul(argv[1], NULL, 10) * 2654435761u + 88172645463325252ul;
    depth = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    if (depth == 0) {
        printf("seed %s\n", argv[1]);
        fflush(stdout);
        for (unsigned turn = 0; turn < TURNS * COUNT(makers); turn++) {
            makers[turn % COUNT(makers)](turn / COUNT(makers));
            await_children();
        }
        for (unsigned way = 0; way < 12; way++)
            if (fork() == 0) {
                prepare_image();
                replace_image(way, way & 1);
                end(1);
            } else {
                await_children();
            }
        for (unsigned way = 0; way < 7; way++)
            if (fork() == 0)
                end(way);
            else
                await_children();
    }
    nest();
    await_children();
    return (int)pick(256);
}
