/* SPDX-License-Identifier: MIT */
/*
 * Without /bin/sh, system() and popen() fail with libc's own values and errno, in every version's way, and leave no
 * child, no descriptor and the program's signal actions. Compared with the same program without the library.
 *
 * compare: bare
 * main: exec exit free
 * needs: root
 */
#include <sys/stat.h>

#include "shell_text.h"

static volatile sig_atomic_t announced;
static void on_child(int number) { (void)number, announced++; }

int main(void)
{
    struct sigaction action;
    uint32_t mark = under_preload() ? events_so_far() : 0;
    int status, fd;
    FILE *stream;

    CHECK(signal(SIGCHLD, on_child) != SIG_ERR);
    CHECK_EQUAL(mkdir("empty", 0755), 0);
    CHECK_EQUAL(chroot("empty"), 0);
    errno = 0;
    status = system("exit 3");
    printf("%x %d, ", (unsigned)status, errno);
    status = system(NULL);
    printf("%x %d, ", (unsigned)status, errno);
    errno = 0;
    stream = popen("exit 3", "r");
    printf("%d %d, ", stream != NULL, errno);
    fd = dup(0);
    CHECK_EQUAL(sigaction(SIGINT, NULL, &action), 0);
    printf("next %d, SIGINT %d, SIGCHLDs %d\n", fd, action.sa_handler == SIG_DFL, announced);
    no_children_left();
    if (under_preload())
        EXPECT_SINCE(mark, "init clone exit+behalf free+behalf init clone exit+behalf free+behalf "
                           "init clone exit+behalf free+behalf");
    return 0;
}
