// SPDX-License-Identifier: MIT
// The one place where start-up and shutdown order is written.
//
//   1  handlers      register_exit_handler(): first call of anybody who registers one, or 2
//   2  start         our constructor, __libc_start_main or the first wrapped call, whichever comes first and
//                    finds an environment: variables, session, watchers
//   3  EXEC          our constructor: after the libraries' constructors, before the executable's own
//   ...
//   4  the end       at_true_end() (exit), _exit, at_quick_end(): EXIT, FREE, fini, session
#include <sys/auxv.h>

#include <atomic>
#include <cstring>

#include "built_in.hpp"
#include "environment.hpp"
#include "own_storage.hpp"
#include "session.hpp"
#include "lifecycle.hpp"
#include "loader.hpp"
#include "message.hpp"
#include "missed.hpp"
#include "real.hpp"
#include "start_data.hpp"
#include "true_end.hpp"

extern "C" char **environ;

namespace taskwatch {
namespace {

START_DATA constinit std::atomic<void *> starting{nullptr};  // the thread that starts us, by its thread pointer
START_DATA constinit bool refused_any = false;
constinit char absolute_path[512] = "";

// A configuration error: one line, once per session, whichever of its images meets it first; without a session
// once per process. What ends the program is told each time: nobody else says why it ended.
void refuse(const char *what) {
    refused_any = true;
    if (!session.once_said(what) && !process.config.strict) return;
    Line line;
    line << what;
    message(line);
}

// Our own path, made absolute: a program may change its folder before it execs. The dynamic linker's text lasts as
// long as we are loaded.
const char *find_own_path() {
    const char *path = real::own_path();
    if (!path || !*path) return nullptr;
    if (*path == '/') return path;
    size_t length = strlen(path);
    long folder = sys::call(SYS_getcwd, absolute_path, sizeof absolute_path);  // its NUL is counted
    if (folder <= 1 || (size_t)folder + length >= sizeof absolute_path) return nullptr;
    absolute_path[folder - 1] = '/';
    memcpy(absolute_path + folder, path, length + 1);
    return absolute_path;
}

// Where the library's own watchers are: the folder "taskwatch" beside it. "" if its path is too long or not known.
struct OwnFolder {
    char path[512] = "";

    explicit OwnFolder(const char *library) {
        const char *slash = library ? strrchr(library, '/') : nullptr;
        size_t length = slash ? (size_t)(slash - library) : 0;
        if (!slash || length + sizeof "/taskwatch" > sizeof path) return;
        memcpy(path, library, length);
        strcpy(path + length, "/taskwatch");
    }
};

void enter_session() {
    const char *name = process.config.session;
    if (name && session.attach(name) == 0) return;
    pid_t self_pid = sys::getpid();
    // Alone, if no memory is to be had: ids, cells and what is done on behalf are lost, not the program.
    if (session.found(self_pid) != 0) session.record_own_streams(self_pid);
    // The variable is inherited, what it means is not.
    Line own;
    own << self_pid;
    if (process.config.launched && own.view() == process.config.launched) missed.want_line();
    char value[64];
    if (session.attached()) {
        session.write_name(value);
        (void)process.inheritance.set_session(value);
    }
}

void start(char *const *envp) {
    process.config = read_config(envp, getauxval(AT_SECURE) != 0);
    if (process.config.disabled) return;
    process.quiet = process.config.quiet;
    const char *own_path = find_own_path();
    (void)process.inheritance.capture(envp, own_path);
    if (process.config.session) (void)process.inheritance.set_session(process.config.session);
    // An ancestor installed a seccomp filter: nothing is opened, mapped or loaded here.
    if (process.quiet) return;
    // Nothing is opened before it is wanted: without watchers there is no session.
    if (!process.config.watchers || !*process.config.watchers) return;
    enter_session();
    OwnFolder own_folder(own_path);
    bool loaded_before = session.list_is_good(process.config.watchers, process.config.path);
    int refused = load_watchers(process.config, {.chain = &chain,
                                                 .envp = envp,
                                                 .own_folder = own_folder.path,
                                                 .built_in = built_in_watcher,
                                                 .loaded_before = loaded_before,
                                                 .refuse = refuse});
    if (refused == 0 && !loaded_before) session.set_good_list(process.config.watchers, process.config.path);
    session.want(chain.wanted());
    if (refused_any && process.config.strict) sys::call(SYS_exit_group, 125);
}

}  // namespace

void ensure_started() {
    if (!(process.wanted.load(std::memory_order_acquire) & unstarted)) return;
    if (!environ) return;  // from a preinit function: libc is not ready, the call passes through
    void *own = __builtin_thread_pointer(), *nobody = nullptr;
    if (!starting.compare_exchange_strong(nobody, own)) {
        // A watcher's constructor calls what we wrap: it passes through. Another thread waits.
        if (nobody == own) return;
        while (process.wanted.load(std::memory_order_acquire) & unstarted) sys::call(SYS_sched_yield);
        return;
    }
    int saved_errno = errno;
    register_exit_handler();
    start(environ);
    // Without watchers the chain, which is a page of its own, is not even looked at.
    bool watched = process.config.watchers || process.registered_early;
    process.wanted.store(watched ? wanted_now() : 0, std::memory_order_release);
    if (watched && !process.wants(mask_life)) register_fork_handlers();
    errno = saved_errno;
}

}  // namespace taskwatch

using namespace taskwatch;

[[gnu::constructor]] static void on_load(int, char **argv, char **) {
    process.argv = argv;
    ensure_started();
    if (process.wants(~unstarted)) announce_image(self());
}
