/* SPDX-License-Identifier: MIT */
#ifndef CHECK_DRIVE_H
#define CHECK_DRIVE_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The main of a scratch process, for one place (enum check_place). `watcher` is the checked file, `foreign` an executable
 * file that the kernel refuses. Returns its exit status.
 */
int drive(unsigned int place, const char *watcher, const char *foreign);

#ifdef __cplusplus
}
#endif

#endif
