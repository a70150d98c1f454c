/* SPDX-License-Identifier: MIT */
/*
 * wordexp(): INIT and FREE are told once if it is going to run commands, nothing otherwise; the commands are
 * adopted. A stop at INIT is WRDE_NOSPACE, and no command has run. Results are as without the library.
 *
 * compare: bare
 * main: exec exec exit free
 */
#include <wordexp.h>

#include "shell_text.h"

static const struct {
    const char *words;
    int flags, runs;
} cases[] = {
    {"plain words", 0, 0},
    {"$(echo one two) three", 0, 1},
    {"`echo old`", 0, 1},
    {"'$(not run)'", 0, 0},
    {"\\$\\(not run\\)", 0, WRDE_BADCHAR == 0},
    {"\"$(echo quoted words)\"", 0, 1},
    {"$((1 + 2))", 0, 0},
    {"$(($(echo 4) + 1))", 0, 1},
    {"${SET:-$(echo not run)}", 0, 0},
    {"${UNSET:-$(echo run)}", 0, 1},
    {"${UNSET+$(echo not run)}", 0, 0},
    {"${ASSIGNED:=a} $(echo ${ASSIGNED})", 0, 1},
    {"${FIRST:+b}${FIRST:=a}$(echo c)", 0, 1},
    {"$(echo one) $(echo two)", 0, 1},
    {"$(exit 3)", 0, 1},
    {"$(echo no)", WRDE_NOCMD, 0},
    {"$UNSET$(echo x)", WRDE_UNDEF, 0},
    {"$(echo unfinished", 0, 0},
    {"a | b $(echo x)", 0, 0},
    {"", 0, 0},
};

static void show(int result, const wordexp_t *w)
{
    printf("%d:", result);
    for (size_t i = 0; result == 0 && i < w->we_wordc; i++)
        printf(" [%s]", w->we_wordv[w->we_offs + i]);
    printf("\n");
}

static void expand(const char *words, int flags, int runs)
{
    wordexp_t w = {.we_offs = 0};
    uint32_t mark = under_preload() ? events_so_far() : 0;
    int result, inits = 0;

    errno = EDOM;
    result = wordexp(words, &w, flags);
    printf("%s -> ", words);
    show(result, &w);
    if (result == 0)
        wordfree(&w);
    if (!under_preload())
        return;
    for (uint32_t i = mark; i < events_so_far(); i++) {
        if (strcmp(event_number(i)->call, "wordexp") != 0)
            continue;
        CHECK_EQUAL(event_number(i)->event, inits++ ? WATCH_TASK_FREE : WATCH_TASK_INIT);
        CHECK_EQUAL(event_number(i)->error, 0);
    }
    CHECK_EQUAL(inits, runs ? 2 : 0);
    if (!runs)
        CHECK_EQUAL(events_so_far(), mark);
}

static void append(void)
{
    wordexp_t w = {.we_offs = 2};

    show(wordexp("one $(echo two)", &w, WRDE_DOOFFS), &w);
    show(wordexp("$(echo three) '`'", &w, WRDE_DOOFFS | WRDE_APPEND), &w);
    printf("%d %d\n", w.we_wordv[0] == NULL, w.we_wordv[1] == NULL);
    show(wordexp("$(echo again)", &w, WRDE_DOOFFS | WRDE_REUSE), &w);
    wordfree(&w);
}

static void stop(void)
{
    wordexp_t w = {.we_wordc = 77};

    for (int i = 0; i < 2; i++) {
        uint32_t mark = events_so_far();

        stop_at(WATCH_MASK_INIT, i ? NOTIFY_BAD : NOTIFY_STOP);
        CHECK_EQUAL(wordexp("$(echo >made) `echo >made`", &w, 0), WRDE_NOSPACE);
        EXPECT_SINCE(mark, "init free");
        CHECK_TEXT(event_number(mark + 1)->stopped_by, "recorder");
        CHECK_EQUAL(event_number(mark + 1)->error, i ? EPERM : EAGAIN);
        CHECK_EQUAL(w.we_wordc, 77);
        CHECK_EQUAL(access("made", F_OK), -1);
        CHECK_EQUAL(wordexp("'$(no command)'", &w, 0), 0);
        wordfree(&w);
        w.we_wordc = 77;
        stop_nothing();
    }
    no_children_left();
}

int main(int argc, char **argv)
{
    (void)argc;
    /* libc gives its commands the environment as it is, and of a session's first process it does not name it. */
    if (under_preload() && !getenv("TASKWATCH_SESSION"))
        execv(getenv("TEST_PROGRAM"), argv);
    CHECK_EQUAL(setenv("SET", "value", 1), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expand(cases[i].words, cases[i].flags, cases[i].runs);
    append();
    if (under_preload())
        stop();
    return 0;
}
