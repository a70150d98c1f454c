/* SPDX-License-Identifier: MIT */
/*
 * What the tests exec: "target exit N" ends with N, "target events SEQUENCE" checks what was told of its own
 * task by the time main runs, "target constructor SEQUENCE" by the time of its constructor, "target
 * environment NAME" prints what that variable is, "target arguments ..." prints its arguments.
 */
#include "check.h"

__attribute__((constructor)) static void construct(int argc, char **argv, char **envp)
{
    (void)envp;
    if (argc == 3 && strcmp(argv[1], "constructor") == 0)
        EXPECT_TASK(getpid(), argv[2]);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "exit") == 0)
        return atoi(argv[2]);
    if (strcmp(what, "events") == 0)
        EXPECT_TASK(getpid(), argv[2]);
    if (strcmp(what, "environment") == 0) {
        const char *value = getenv(argv[2]);

        printf("%s\n", value ? value : "(unset)");
    }
    if (strcmp(what, "arguments") == 0)
        for (int i = 0; i < argc; i++)
            printf("[%s]%s", argv[i], i + 1 < argc ? " " : "\n");
    return 0;
}
