/* SPDX-License-Identifier: MIT */
/* Linked statically: nothing is preloaded into it. */
int main(void)
{
    return 7;
}
