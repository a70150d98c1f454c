/* SPDX-License-Identifier: MIT */
/*
 * The library's functions for a program that may run without it: found when they are there.
 */
#ifndef TESTS_OWN_H
#define TESTS_OWN_H

#include <taskwatch/taskwatch.h>

#pragma weak register_task_watcher
#pragma weak register_task_watcher_events
#pragma weak unregister_task_watcher
#pragma weak notify_watchers
#pragma weak taskwatch_cell
#pragma weak taskwatch_shared
#pragma weak taskwatch_sweep
#pragma weak taskwatch_once
#pragma weak taskwatch_lost
#pragma weak taskwatch_fail_session
#pragma weak taskwatch_for_each_task

#endif
