// SPDX-License-Identifier: MIT
//
// lives: one line at the end of each task. A watcher in C++ with data of each task: of a process in its
// cell, which its creator, its images and whoever reports its death share; of a thread in this process's own memory.
//
//   file=PATH   where the lines go: the session's standard error
#include <time.h>

#include <atomic>
#include <cstring>
#include <taskwatch/taskwatch.hpp>

using namespace taskwatch;

struct Lives : Watcher<Lives> {
    static constexpr int priority = WATCH_PRIORITY_OBSERVER;

    struct Process {  // 16 bytes at most; every process of the session can write here, so all is atomic
        std::atomic<uint32_t> programs, children;
    };
    struct Thread {
        pid_t made_by;
    };
    ThreadData<Thread> threads;
    Sink sink;
    char path[256] = {};

    const char *configure(const char *key, const char *value) {
        if (std::strcmp(key, "file") != 0 || std::strlen(value) >= sizeof path) return "the one option is file=PATH";
        std::strcpy(path, value);
        return nullptr;
    }
    const char *start() {
        return sink.open(path[0] ? path : nullptr) ? "file: it cannot be opened; name one that can be written" : nullptr;
    }

    Verdict on_init(const task_watch &task, Flags) {
        if (Thread *mine = threads.attach(task, block())) mine->made_by = task.by;
        return allow();
    }
    void on_exec(const task_watch &task, Flags) {
        if (Process *process = is_thread(task) ? nullptr : cell<Process>(task)) process->programs++;
    }
    void on_exit(const task_watch &task, Flags flags) {
        Line<160> line;
        line << task.pid;
        if (Thread *mine = threads.find(task, block())) {
            line << ": a thread of " << task.tgid << ", made by " << mine->made_by;
            timespec used;
            // On behalf: the clock would be that of the one who tells.
            if (!flags.on_behalf() && clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0)
                line << ", " << used.tv_sec * 1000000 + used.tv_nsec / 1000 << " us of processor time";
        } else if (Process *process = is_thread(task) ? nullptr : cell<Process>(task)) {
            line << ": a process, programs executed: " << process->programs.load();
        }
        sink.write(line);
    }
    // Releases what is there: nothing if the creation failed before INIT came here, once otherwise.
    void on_free(const task_watch &task, Flags) { threads.release(task, block()); }
};

TASKWATCH_WATCHER(Lives, "lives", "one line at the end of each task")
