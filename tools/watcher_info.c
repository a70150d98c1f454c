// SPDX-License-Identifier: MIT
// taskwatch-info: what the launcher has to know about files before it starts a program.
//
//   taskwatch-info watcher FILE.so          one line: the watcher's description, or why it has none
//   taskwatch-info program FILE LIBRARY     LD_PRELOAD for this program, and in a second line, if the
//                                           program is not watched, or in part, why
//   taskwatch-info doctor FILE LIBRARY      what will be seen of this program and what will not, for
//                                           people; status as taskwatch --doctor
//
// A watcher is loaded here without the library: its init is not called and it gets no event. The
// functions that it expects from the library are below and do nothing. Programs are judged by
// program_info.cpp.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <taskwatch/taskwatch.h>

int program_info(const char *file, const char *library);  // program_info.cpp
int program_doctor(const char *file, const char *library);

static bool registered;

// What a watcher calls or refers to. Exported: a watcher linked with -z now is refused by dlopen if one
// is missing, one that registers in its constructor calls it there.
int register_task_watcher(struct notifier_block *nb) {
    return register_task_watcher_events(nb, WATCH_MASK_ALL);
}

int register_task_watcher_events(struct notifier_block *nb, unsigned int mask) {
    (void)nb, (void)mask;
    registered = true;
    return 0;
}

int unregister_task_watcher(struct notifier_block *nb) { return (void)nb, 0; }
int notify_watchers(unsigned long val, void *v) { return (void)val, (void)v, NOTIFY_DONE; }
void *taskwatch_cell(const struct task_watch *task, const struct notifier_block *nb) {
    return (void)task, (void)nb, NULL;
}
void *taskwatch_shared(const struct notifier_block *nb, size_t bytes) { return (void)nb, (void)bytes, NULL; }
int taskwatch_sweep(void) { return 0; }
int taskwatch_sink_init(struct taskwatch_sink *sink, const char *path, int open_now) {
    return (void)sink, (void)path, (void)open_now, 0;
}
int taskwatch_write(struct taskwatch_sink *sink, const void *record, size_t length) {
    return (void)sink, (void)record, (void)length, 0;
}
int taskwatch_sink_is_stream(const struct taskwatch_sink *sink) { return (void)sink, 0; }
int taskwatch_sink_is_terminal(const struct taskwatch_sink *sink) { return (void)sink, 0; }
uint64_t taskwatch_lost(int *error) {
    if (error) *error = 0;
    return 0;
}
int taskwatch_once(const struct notifier_block *nb, unsigned int key) { return (void)nb, (void)key, 0; }
int taskwatch_for_each_task(int (*visit)(void *context, const struct task_watch *task), void *context) {
    return (void)visit, (void)context, 0;
}
int taskwatch_fail_session(const struct notifier_block *nb) { return (void)nb, 0; }

static int watcher_info(const char *file) {
    const struct taskwatch_watcher *watcher;
    void *handle = dlopen(file, RTLD_LAZY | RTLD_LOCAL);

    if (!handle) {
        const char *reason = dlerror();
        size_t length = strlen(file);
        if (strncmp(reason, file, length) == 0 && strncmp(reason + length, ": ", 2) == 0)
            reason += length + 2;
        printf("(cannot be loaded: %s)\n", reason);
        return 1;
    }
    watcher = dlsym(handle, "taskwatch_watcher");
    if (!watcher) {
        puts(registered ? "(registers itself; no description)" : "(not a watcher)");
        return registered ? 0 : 1;
    }
    if (watcher->abi_version != TASKWATCH_ABI_VERSION) {
        printf("(built for version %u of the watcher interface, not %u)\n", watcher->abi_version,
               TASKWATCH_ABI_VERSION);
        return 1;
    }
    puts(watcher->description ? watcher->description : "(no description)");
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "watcher") == 0) return watcher_info(argv[2]);
    if (argc == 4 && strcmp(argv[1], "program") == 0) return program_info(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "doctor") == 0) return program_doctor(argv[2], argv[3]);
    fputs("usage: taskwatch-info watcher FILE.so | program FILE LIBRARY | doctor FILE LIBRARY\n", stderr);
    return 125;
}
