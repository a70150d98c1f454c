/* SPDX-License-Identifier: MIT */
/*
 * POSIX's rules for system(), as libc keeps them: what it returns, also for a command that is killed or stopped;
 * SIGINT and SIGQUIT ignored and SIGCHLD blocked meanwhile and only then; what the command starts with; errno.
 * All of it told, and compared with the same program without the library.
 *
 * compare: bare
 * main: exec exit free
 */
#include "shell_text.h"

#define ALL 100

static volatile sig_atomic_t children, interrupts;

static void on_child(int number) { (void)number, children++; }
static void on_interrupt(int number) { (void)number, interrupts++; }

static const char show_own[] = "grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status >signals";
/* Once it waits: all signals are blocked while the child is made. */
static const char show_caller[] = "until grep -q '^SigBlk:.0' /proc/$PPID/status; do :; done; "
                                  "grep -E '^Sig(Blk|Ign|Cgt)' /proc/$PPID/status >signals";
/* Somebody else lets it go on, once it has stopped. */
static const char stop[] = "(while ! grep -q '^State:.T' /proc/$$/status; do :; done; kill -CONT $$) & "
                           "kill -STOP $$; exit 5";

static void note_actions(void)
{
    static const int signals[] = {SIGINT, SIGQUIT, SIGCHLD};
    sigset_t mask;

    for (size_t i = 0; i < 3; i++) {
        struct sigaction action;

        CHECK_EQUAL(sigaction(signals[i], NULL, &action), 0);
        printf("%d: %s %x %d\n", signals[i],
               action.sa_handler == SIG_IGN ? "ignored" : action.sa_handler == SIG_DFL ? "default" : "handler",
               (unsigned)action.sa_flags & 0xfbffffff /* not libc's own SA_RESTORER */, sigismember(&action.sa_mask, SIGUSR2));
    }
    CHECK_EQUAL(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
    for (int i = 1; i < 32; i++)
        printf("%d", sigismember(&mask, i));
    printf("\n");
}

static void run(const char *command)
{
    int status;

    errno = EDOM;
    status = system(command);
    printf("%s: %x %d, %d %d\n", command ? command : "(null)", (unsigned)status, errno, children, interrupts);
    printf("%s", take_text("signals"));
    note_actions();
    children = interrupts = 0;
}

static void run_all(const char *setting, size_t count)
{
    static const char *const commands[] = {
        NULL, "exit 0", "exit 3", "kill -9 $$", "kill -TERM $$", "/no/such/file 2>/dev/null", "", "-c 2>/dev/null", stop,
        "kill -INT $PPID; kill -QUIT $PPID; exit 6", show_own, show_caller,
    };

    printf("-- %s\n", setting);
    for (size_t i = 0; i < count && i < sizeof commands / sizeof *commands; i++)
        run(commands[i]);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART | SA_NODEFER};
    sigset_t set;

    run_all("defaults", ALL);
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK_EQUAL(sigaction(SIGINT, &action, NULL), 0);
    CHECK(signal(SIGQUIT, SIG_IGN) != SIG_ERR);
    CHECK(signal(SIGCHLD, on_child) != SIG_ERR);
    run_all("SIGINT and SIGCHLD handled, SIGQUIT ignored", ALL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    CHECK_EQUAL(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK(signal(SIGINT, SIG_IGN) != SIG_ERR);
    run_all("SIGINT ignored, SIGCHLD blocked", ALL);
    CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    /* Not those in which the shell itself would have to learn of an end. */
    run_all("SIGCHLD ignored: nobody learns of the end", 7);
    return 0;
}
