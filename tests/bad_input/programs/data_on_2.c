/* SPDX-License-Identifier: MIT */
/*
 * data_on_2 FILE COUNT: closes descriptor 2, opens FILE, which becomes 2, and writes to it between COUNT
 * children. What FILE then holds is "line 0\n" to "line COUNT\n" and nothing else.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : -1;

    close(2);
    if (count < 0 || open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644) != 2)
        return 1;
    for (int i = 0; i <= count; i++) {
        char line[32];
        int length = snprintf(line, sizeof line, "line %d\n", i), status = -1;
        pid_t child;

        if (write(2, line, (size_t)length) != length)
            return 2;
        if (i == count)
            break;
        child = fork();
        if (child == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
            return 3;
    }
    return 5;
}
