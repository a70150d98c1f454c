/* SPDX-License-Identifier: MIT */
/* Says when its own code runs. */
#include <unistd.h>

__attribute__((constructor)) static void early(void)
{
    if (write(1, "constructor\n", 12) != 12)
        _exit(1);
}

int main(void)
{
    return write(1, "main\n", 5) != 5;
}
