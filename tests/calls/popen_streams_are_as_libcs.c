/* SPDX-License-Identifier: MIT */
/*
 * A stream of popen() behaves as libc's own: modes, descriptors, close-on-exec, what the command inherits, errors
 * of reading and writing, end of file, 800 KB written, what pclose and fclose return. All of it told, and
 * compared with the same program without the library.
 *
 * compare: bare
 * main: exec exit free
 */
#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <wchar.h>

#include "shell_text.h"

/* What a call returned, and errno. */
static void show(const char *what, long result)
{
    int error = errno;

    printf("%s %ld %d\n", what, result, error);
    errno = 0;
}

static void note_modes(void)
{
    static const char *const modes[] = {"", "r", "w", "re", "er", "we", "rr", "wwe", "rw", "x", "rx", "e", "R", "r+"};

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        FILE *stream;

        errno = 0;
        stream = popen("exit 1", modes[i]);
        show(modes[i], stream != NULL);
        if (stream) {
            printf("fd %d, cloexec %d, wide %d", fileno(stream), fcntl(fileno(stream), F_GETFD), fwide(stream, 0));
            printf(" = %x\n", (unsigned)pclose(stream));
        }
    }
}

static int (*volatile closing)(FILE *stream) = fclose;

static void note_reading(void)
{
    char text[64];
    FILE *stream = popen("echo one; printf two; exit 9", "r");

    CHECK(stream != NULL);
    printf("%s", fgets(text, sizeof text, stream));
    errno = 0;
    show("ftell", ftell(stream));
    show("fseek", fseek(stream, 0, SEEK_SET));
    show("fputs", fputs("x", stream));
    show("ferror", ferror(stream));
    clearerr(stream);
    printf("%s", fgets(text, sizeof text, stream));
    printf(" eof %d", fgets(text, sizeof text, stream) == NULL && feof(stream));
    printf(" error %d", ferror(stream));
    /* By a pointer: the compiler thinks that only pclose goes with popen. */
    printf(" = %x\n", (unsigned)closing(stream));
}

static void note_writing(void)
{
    static char block[1000];
    FILE *stream = popen("wc -c >written; exit 2", "w");
    char byte;

    CHECK(stream != NULL);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 800; i++)
        CHECK_EQUAL(fwrite(block, 1, sizeof block, stream), sizeof block);
    errno = 0;
    show("fread", (long)fread(&byte, 1, 1, stream));
    clearerr(stream);
    printf("%x ", (unsigned)pclose(stream));
    printf("%s", take_text("written"));

    /* Nobody reads: EPIPE, told at the flush. */
    stream = popen("exec <&-; echo $$ >closed.; mv closed. closed; kill -STOP $$", "w");
    CHECK(stream != NULL);
    while (access("closed", F_OK) != 0)
        sched_yield();
    errno = 0;
    show("fputs", fputs("lost", stream));
    show("fflush", fflush(stream));
    show("ferror", ferror(stream));
    CHECK_EQUAL(kill(atoi(take_text("closed")), SIGKILL), 0);
    printf(" = %x\n", (unsigned)pclose(stream));
}

/* A pipe takes a part only, when nobody reads and the program does not want to wait. */
static void note_a_full_pipe(void)
{
    static char block[200000];
    FILE *stream = popen("echo $$ >stopped.; mv stopped. stopped; kill -STOP $$", "w");

    CHECK(stream != NULL);
    while (access("stopped", F_OK) != 0)
        sched_yield();
    CHECK_EQUAL(fcntl(fileno(stream), F_SETFL, O_WRONLY | O_NONBLOCK), 0);
    errno = 0;
    show("fwrite", (long)fwrite(block, 1, sizeof block, stream));
    show("ferror", ferror(stream));
    CHECK_EQUAL(kill(atoi(take_text("stopped")), SIGKILL), 0);
    printf(" = %x\n", (unsigned)pclose(stream));
}

/* Which of the first descriptors the command has, and what kind they are. */
static const char show_files[] =
    "for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i $(stat -Lc %F /proc/$$/fd/$i); done >files";

static void note_inheritance(void)
{
    FILE *earlier[4], *stream;
    char text[64];

    for (int i = 0; i < 4; i++) {
        earlier[i] = popen(i % 2 ? "cat >/dev/null" : "exec cat /dev/null", i % 2 ? "w" : i ? "re" : "r");
        CHECK(earlier[i] != NULL);
    }
    stream = popen(show_files, "w");
    CHECK(stream != NULL);
    printf("inherited: %x\n", (unsigned)pclose(stream));
    printf("%s", take_text("files"));
    /* The writers among them would wait for ever if a later command had their ends. */
    stream = popen("echo $$; kill -STOP $$", "r");
    CHECK(stream != NULL);
    CHECK(fgets(text, sizeof text, stream) != NULL);
    for (int i = 0; i < 4; i++)
        printf("%x ", (unsigned)pclose(earlier[i]));
    CHECK_EQUAL(kill(atoi(text), SIGKILL), 0);
    printf("%x\n", (unsigned)pclose(stream));
}

/* The program has closed 0, 1 or both: the pipe gets these numbers. */
static void note_low_numbers(const char *mode, int without)
{
    int saved[2] = {fcntl(0, F_DUPFD_CLOEXEC, 20), fcntl(1, F_DUPFD_CLOEXEC, 20)};
    char text[64] = "";
    FILE *stream;
    int fd, status;

    fflush(stdout);
    for (int i = 0; i < 2; i++)
        if (without & 1 << i)
            close(i);
    stream = popen(*mode == 'r' ? "echo spoken; exit 1" : "cat >heard; exit 1", mode);
    CHECK(stream != NULL);
    fd = fileno(stream);
    if (*mode == 'r')
        CHECK(fgets(text, sizeof text, stream) != NULL);
    else
        CHECK(fputs("said\n", stream) >= 0);
    status = pclose(stream);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    printf("%s without %d: fd %d, %x %s%s\n", mode, without, fd, (unsigned)status, text, take_text("heard"));
}

static int reap_anybody(void)
{
    int status;

    CHECK(waitpid(-1, &status, 0) > 0);
    return status;
}

static void note_failures(void)
{
    struct rlimit limit, few;
    FILE *stream = popen("exit 3", "r");
    int fd = fileno(stream);

    /* Its descriptor is gone: nobody waits. */
    close(fd);
    errno = 0;
    show("pclose of what is closed", pclose(stream));
    printf("left: %x\n", (unsigned)reap_anybody());
    CHECK_EQUAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 4;
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    show("no descriptors", popen("exit 0", "r") != NULL);
    CHECK_EQUAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    fd = dup(0);
    printf("next %d\n", fd);
    close(fd);
}

static void run_all(void)
{
    note_modes();
    note_reading();
    note_writing();
    note_a_full_pipe();
    note_inheritance();
    for (int without = 1; without <= 3; without++) {
        note_low_numbers("r", without);
        note_low_numbers("w", without);
    }
    note_failures();
    no_children_left();
}

int main(void)
{
    if (under_preload())
        CHECK(dlsym(RTLD_DEFAULT, "_IO_popen") == dlsym(RTLD_DEFAULT, "popen"));
    CHECK(setvbuf(stdout, NULL, _IOFBF, 65536) == 0);
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    run_all();
    return 0;
}
