// SPDX-License-Identifier: MIT
// Stands in for the library so that a watcher's callback can be called directly, without preload: the
// taskwatch_*() functions, a session's memory, and a sink that remembers. Included by one file of a
// test program, which is linked with its symbols exported.
//
// The functions that a callback reaches use static memory and little stack: the tests measure the callback's.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <taskwatch/taskwatch.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

struct WatcherHost {
    static constexpr size_t capacity = 16 << 20;
    static constexpr size_t cell_count = 1024;

    // What the next calls return.
    bool session = true;
    bool stream = false;
    bool terminal = false;
    int open_error = 0;
    int write_error = 0;
    void (*on_is_stream)() = nullptr;
    void (*on_write)() = nullptr;
    int (*on_sweep)() = nullptr;
    static constexpr size_t most_living = 8;
    task_watch living[most_living] = {};  // what taskwatch_for_each_task() shows
    size_t living_count = 0;

    // What was asked.
    std::atomic<unsigned> writes = 0;
    unsigned sweeps = 0;
    const char *last_path = nullptr;
    int opened_now = -1;
    uint64_t lost = 0;
    int lost_error = 0;
    uint32_t once = 0;
    unsigned failed = 0;
    char *text = nullptr;
    std::atomic<size_t> length = 0;
    alignas(64) char shared[TASKWATCH_SHARED_MAX] = {};
    alignas(16) char cells[cell_count][TASKWATCH_CELL_SIZE] = {};

    std::string_view written() const { return {text, length}; }
    std::string take() {
        std::string all(written());
        length = 0;
        return all;
    }
};

inline WatcherHost host;

inline void reset_host() {
    static char *memory = new char[WatcherHost::capacity];
    host.~WatcherHost();
    new (&host) WatcherHost;
    host.text = memory;
}

#define HOST_FUNCTION extern "C" __attribute__((visibility("default")))

HOST_FUNCTION int taskwatch_sink_init(taskwatch_sink *sink, const char *path, int open_now) {
    *sink = {};
    sink->path = path;
    host.opened_now = open_now;
    return open_now ? -host.open_error : 0;
}

HOST_FUNCTION int taskwatch_write(taskwatch_sink *sink, const void *record, size_t length) {
    host.writes++;
    host.last_path = sink->path;
    if (host.on_write) host.on_write();
    if (host.write_error) {
        host.lost++;
        host.lost_error = host.write_error;
        return -host.write_error;
    }
    size_t at = host.length.fetch_add(length);
    if (at + length > WatcherHost::capacity) abort();
    memcpy(host.text + at, record, length);
    return 0;
}

HOST_FUNCTION int taskwatch_sink_is_stream(const taskwatch_sink *) {
    if (host.on_is_stream) host.on_is_stream();
    return host.stream;
}

HOST_FUNCTION int taskwatch_sink_is_terminal(const taskwatch_sink *) { return host.terminal; }

HOST_FUNCTION uint64_t taskwatch_lost(int *error) {
    if (error) *error = host.lost_error;
    return host.lost;
}

HOST_FUNCTION int taskwatch_once(const notifier_block *, unsigned key) {
    bool first = !(host.once & 1u << key);
    host.once |= 1u << key;
    return first;
}

HOST_FUNCTION int taskwatch_for_each_task(int (*visit)(void *, const task_watch *), void *context) {
    for (size_t n = 0; n < host.living_count; n++)
        if (int result = visit(context, &host.living[n])) return result;
    return 0;
}

HOST_FUNCTION int taskwatch_fail_session(const notifier_block *) {
    if (!host.session) return -ENOENT;
    host.failed++;
    return 0;
}

HOST_FUNCTION void *taskwatch_shared(const notifier_block *, size_t bytes) {
    return host.session && bytes <= sizeof host.shared ? host.shared : nullptr;
}

HOST_FUNCTION void *taskwatch_cell(const task_watch *task, const notifier_block *) {
    return host.session && task->id < WatcherHost::cell_count ? host.cells[task->id] : nullptr;
}

HOST_FUNCTION int taskwatch_sweep() {
    host.sweeps++;
    return host.on_sweep ? host.on_sweep() : 0;
}

// A watcher as the library would load it. Each object is an image of its own: its statics are fresh.
class Watcher {
  public:
    explicit Watcher(const char *name) {
        const char *folder = getenv("TASKWATCH_WATCHER_FOLDER");
        if (!folder) ADD_FAILURE() << "TASKWATCH_WATCHER_FOLDER has to name the folder of the built watchers";
        std::string path = std::string(folder ? folder : ".") + "/" + name + ".so";
        // A copy: the linker would give out one image for one file.
        std::string copy = testing::TempDir() + "taskwatch-watcher-XXXXXX";
        int fd = mkstemp(copy.data());
        std::ofstream(copy, std::ios::binary) << std::ifstream(path, std::ios::binary).rdbuf();
        close(fd);
        handle_ = dlopen(copy.c_str(), RTLD_NOW | RTLD_LOCAL);
        unlink(copy.c_str());
        if (!handle_) {
            ADD_FAILURE() << dlerror();
            return;
        }
        descriptor_ = static_cast<const taskwatch_watcher *>(dlsym(handle_, "taskwatch_watcher"));
        block_ = {descriptor_->notify, nullptr, descriptor_->priority};
    }
    ~Watcher() {
        if (handle_) dlclose(handle_);
    }
    Watcher(const Watcher &) = delete;
    Watcher &operator=(const Watcher &) = delete;

    // The refusal, or "".
    std::string init(std::string options) {
        const char *refusal = descriptor_->init(&block_, options.data());
        return refusal ? refusal : "";
    }
    int notify(unsigned long action, task_watch &task) { return descriptor_->notify(&block_, action, &task); }
    void fini(int reason) { descriptor_->fini(reason); }
    const taskwatch_watcher &descriptor() const { return *descriptor_; }

  private:
    void *handle_ = nullptr;
    const taskwatch_watcher *descriptor_ = nullptr;
    notifier_block block_ = {};
};

// A record as the library would fill it in, for events about a child 4243 of process 4242.
inline task_watch make_task() {
    task_watch task = {};
    task.size = sizeof task;
    task.pid = task.tgid = 4243;
    task.ppid = 4242;
    task.by = 4243;
    task.id = 17;
    task.parent_id = 3;
    task.session = 0x9f3c00000000abcd;
    task.call = "fork";
    task.realtime_ns = 1763884800123456789;
    task.boottime_ns = 91234567;
    return task;
}

inline task_watch make_creation(unsigned long event, const char *call = "fork") {
    task_watch task = make_task();
    task.call = call;
    task.by = 4242;
    task.clone_flags = 18874385;
    if (event == WATCH_TASK_INIT) task.pid = task.tgid = 0;
    return task;
}

// Bytes of stack that `function` uses, called on a thread whose stack was painted before. What the
// linker and libc do on a first call is done before it is measured.
inline size_t stack_used(void (*function)(void *), void *context) {
    struct Probe {
        void (*function)(void *);
        void *context;
        unsigned char *stack;
        size_t used;
    };
    constexpr size_t size = 256 << 10;
    void *stack = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Probe probe{function, context, static_cast<unsigned char *>(stack), 0};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, stack, size);
    pthread_t thread;
    pthread_create(
        &thread, &attributes,
        [](void *argument) -> void * {
            auto &p = *static_cast<Probe *>(argument);
            p.function(p.context);
            // The red zone and this frame's own calls are left alone.
            unsigned char *here = static_cast<unsigned char *>(__builtin_frame_address(0)) - 512;
            for (volatile unsigned char *byte = p.stack; byte < here; byte++) *byte = 0xa5;
            p.function(p.context);
            const unsigned char *lowest = p.stack;
            while (*lowest == 0xa5 && lowest < here) lowest++;
            p.used = lowest < here ? size_t(here + 512 - lowest) : 512;
            return nullptr;
        },
        &probe);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    munmap(stack, size);
    return probe.used;
}
