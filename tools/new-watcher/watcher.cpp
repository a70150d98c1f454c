// @NAME@: tells of each program that is executed, and refuses the one that deny=NAME names.
#include <cstring>
#include <taskwatch/taskwatch.hpp>

using namespace taskwatch;

struct Mine : Watcher<Mine> {
    Sink sink;
    char denied[32] = {};

    // One option at a time, in normal context. A message refuses it.
    const char *configure(const char *key, const char *value) {
        if (std::strcmp(key, "deny") != 0 || std::strlen(value) >= sizeof denied)
            return "the one option is deny=NAME, the name of a program";
        std::strcpy(denied, value);
        return nullptr;
    }

    // Asked before the call. This may run in a signal handler: no malloc, no stdio, no lock.
    Verdict before_exec(const task_watch &task, Flags) {
        return std::strcmp(name_of(task.path), denied) == 0 ? deny(EACCES) : allow();
    }

    // The new program, before its main.
    void on_exec(const task_watch &task, Flags) {
        Line<128> line;
        line << "@NAME@: " << name_of(task.path);
        sink.write(line);
    }

    static const char *name_of(const char *path) {
        const char *slash = std::strrchr(path, '/');
        return slash ? slash + 1 : path;
    }
};

TASKWATCH_WATCHER(Mine, "@NAME@", "tells of each program, refuses one")
