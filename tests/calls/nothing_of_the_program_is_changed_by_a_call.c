/* SPDX-License-Identifier: MIT */
/*
 * errno, signal mask and dispositions, cancellation, open descriptors and the number that the next open gets
 * are after each call what they are without the library: in the caller and in the child, on success and on
 * failure.
 *
 * compare: bare
 */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>

#include "check.h"

static char stack[65536] __attribute__((aligned(16)));
static int cancel_type = PTHREAD_CANCEL_DEFERRED;

static void describe(const char *what, char *text, size_t size)
{
    int error = errno, state, fd;
    uint64_t mask = 0, dispositions = 1469598103934665603u;
    char open_fds[1024] = "";
    DIR *folder;
    struct dirent *entry;

    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    for (int number = 1; number <= 64; number++) {
        uint64_t action[4] = {0};

        syscall(SYS_rt_sigaction, number, NULL, action, 8);
        dispositions = (dispositions ^ action[1] ^ action[3] ^ (action[0] > 1)) * 1099511628211u;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    pthread_setcancelstate(state, NULL);
    pthread_setcanceltype(cancel_type, &cancel_type);
    fd = open("/dev/null", O_RDONLY);
    close(fd);
    folder = opendir("/proc/self/fd");
    while ((entry = readdir(folder)) != NULL)
        strncat(strncat(open_fds, " ", 2), entry->d_name, 16);
    closedir(folder);
    snprintf(text, size, "%s: errno %s mask %lx dispositions %lx cancel %d %d next %d open%s\n", what,
             error ? strerrorname_np(error) : "0", mask, dispositions, state, cancel_type, fd, open_fds);
}

static void print(const char *text)
{
    CHECK_EQUAL(write(STDOUT_FILENO, text, strlen(text)), (ssize_t)strlen(text));
}

static void show(const char *what)
{
    char text[2048];

    describe(what, text, sizeof text);
    print(text);
}

static int child(void *name)
{
    show(name);
    _exit(0);
}

/* The caller's state right after the call; printed after the child's. */
static void end(const char *what, pid_t pid)
{
    char text[2048];

    describe(what, text, sizeof text);
    CHECK_EQUAL(status_of(pid), 0);
    print(text);
    errno = ENOTTY;
    show("and after the wait");
    errno = EDOM;
}

static void one_round(void)
{
    static char *const none[] = {"/no/such/file", NULL}, *const true_[] = {"true", NULL};
    pid_t pid;

    errno = EDOM;
    pid = fork();
    if (pid == 0)
        child("fork's child");
    end("fork", pid);
    pid = _Fork();
    if (pid == 0)
        child("_Fork's child");
    end("_Fork", pid);
    pid = vfork();
    if (pid == 0)
        child("vfork's child");
    end("vfork", pid);
    pid = clone(child, stack + sizeof stack, SIGCHLD, "clone's child");
    end("clone", pid);
    pid = clone(child, stack + sizeof stack, CLONE_VFORK | SIGCHLD, "suspending clone's child");
    end("suspending clone", pid);
    CHECK_EQUAL(posix_spawn(&pid, "/bin/true", NULL, NULL, true_, environ), 0);
    end("posix_spawn", pid);
    CHECK_EQUAL(posix_spawnp(&pid, "/no/such/file", NULL, NULL, none, environ), ENOENT);
    show("failing posix_spawnp");
    execv("/no/such/file", none);
    show("failing exec");
    errno = EDOM;
    CHECK_EQUAL(setegid(getegid()), 0);
    show("setegid");
    waitpid(-1, NULL, WNOHANG);
    show("failing wait");
    errno = 0;
}

/* As somebody else, who may have no more processes. */
static void refused(void)
{
    static const struct rlimit no_more = {0, 0};
    pid_t pid = fork();

    if (pid == 0) {
        CHECK_EQUAL(setresuid(65534, 65534, 65534), 0);
        CHECK_EQUAL(setrlimit(RLIMIT_NPROC, &no_more), 0);
        CHECK_EQUAL(fork(), -1);
        show("refused fork");
        CHECK_EQUAL(vfork(), -1);
        show("refused vfork");
        CHECK_EQUAL(clone(child, stack + sizeof stack, SIGCHLD, NULL), -1);
        show("refused clone");
        errno = EDOM;
        CHECK_EQUAL(posix_spawn(&pid, "/bin/true", NULL, NULL, (char *[]){"true", NULL}, environ), EAGAIN);
        show("refused posix_spawn");
        _exit(0);
    }
    CHECK_EQUAL(status_of(pid), 0);
}

int main(void)
{
    sigset_t set;

    one_round();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &cancel_type);
    cancel_type = PTHREAD_CANCEL_ASYNCHRONOUS;
    one_round();
    if (geteuid() == 0)
        refused();
    return 0;
}
