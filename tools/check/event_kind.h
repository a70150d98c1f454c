/* SPDX-License-Identifier: MIT */
#ifndef CHECK_EVENT_KIND_H
#define CHECK_EVENT_KIND_H

#include <taskwatch/taskwatch.h>

#include "record.h"

static inline enum check_kind check_kind_of(unsigned long action, const struct task_watch *task)
{
    int before = (action & WATCH_BEFORE) != 0, failed = (action & WATCH_FAILED) != 0;

    switch (get_watch_event(action)) {
    case WATCH_TASK_INIT: return CHECK_INIT;
    case WATCH_TASK_CLONE: return CHECK_CLONE;
    case WATCH_TASK_EXEC:
        if (task->context & TASKWATCH_FORECAST)
            return CHECK_FORECAST_EXEC;
        return before ? CHECK_BEFORE_EXEC : failed ? CHECK_FAILED_EXEC : CHECK_EXEC;
    case WATCH_TASK_UID: return before ? CHECK_BEFORE_UID : failed ? CHECK_FAILED_UID : CHECK_UID;
    case WATCH_TASK_GID: return before ? CHECK_BEFORE_GID : failed ? CHECK_FAILED_GID : CHECK_GID;
    case WATCH_TASK_EXIT: return CHECK_EXIT;
    default: return CHECK_FREE;
    }
}

#endif
