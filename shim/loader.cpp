// SPDX-License-Identifier: MIT
// TASKWATCH_WATCHERS from text to registered blocks: find, check, dlopen, init, register. What is built in needs
// no file. A refusal is
// one line "watcher 'NAME': why; what would be accepted", and the rest are loaded.
// Where a name is looked up is in watcher_search.cpp, what a file says before it is loaded in
// watcher_file.cpp.
#include "loader.hpp"

#include <dlfcn.h>
#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <string_view>

#include "columns.hpp"
#include "environment.hpp"
#include "line.hpp"
#include "own_storage.hpp"
#include "start_data.hpp"
#include "sys.hpp"
#include "watcher_search.hpp"

namespace taskwatch {

namespace {

constexpr unsigned max_watchers = 16;
// A later version's struct is longer and begins like this one.
constexpr uint32_t version_1_size = offsetof(taskwatch_watcher, fini) + sizeof(taskwatch_watcher::fini);
constexpr unsigned known_events = WATCH_MASK_ALL | WATCH_MASK_BEFORE | WATCH_MASK_FAILED;

constexpr size_t max_shown = 256;

struct Watcher {
    notifier_block block;
    void (*fini)(int);
    uint64_t dev, ino;
    char name[max_watcher_name + 1];
};

// Those that are built in are three.
constexpr unsigned first_watchers = 3;
START_BSS constinit Watcher few_watchers[first_watchers] = {};
constinit Watcher more_watchers[max_watchers - first_watchers] = {};
START_BSS constinit unsigned watcher_count = 0;
START_BSS constinit std::atomic<bool> finished{false};

Watcher &watcher_at(unsigned n) { return n < first_watchers ? few_watchers[n] : more_watchers[n - first_watchers]; }

// The name of the watcher that this thread is loading. Per thread: what another thread registers
// meanwhile is the program's.
constinit thread_local const char *loading = nullptr;

// The newest registration in the chain, for "did its constructor register anything?". Nobody's mask
// has all bits, so nobody is called.
uint64_t newest_registration(Chain &chain) {
    PinStack own = {};
    task_watch nobody = {};
    return chain.walk({.action = WATCH_TASK_INIT, .need = UINT32_MAX}, nobody, own).serial;
}

void print(const LoaderHost &host, Line &line) {
    // A variable or a watcher's message may hold anything; it must stay one line on a terminal.
    char *text = const_cast<char *>(line.c_str());
    for (char *c = text; *c; c++)
        if (uint8_t(*c) < ' ' || *c == 0x7f) *c = '?';
    host.refuse(text);
}

// A writable copy of a watcher's options. Long ones in a mapping: the program's malloc may not be ready yet.
class Options {
  public:
    explicit Options(const char *value) {
        if (value == nullptr || *value == '\0') return;
        size_ = strlen(value) + 1;
        if (size_ <= sizeof short_) {
            memcpy(short_, value, size_);
            return;
        }
        long result =
            sys::call(sys::nr_mmap, 0L, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
        if (result < 0 && result > -4096) return;
        mapping_ = reinterpret_cast<char *>(result);
        memcpy(mapping_, value, size_);
    }
    ~Options() {
        if (mapping_) sys::call(SYS_munmap, mapping_, size_);
    }
    Options(const Options &) = delete;
    Options &operator=(const Options &) = delete;

    // Null: no memory.
    char *text() { return size_ <= sizeof short_ ? short_ : mapping_; }

  private:
    char short_[256] = "";
    char *mapping_ = nullptr;
    size_t size_ = 0;
};

// One item of the list on its way into the chain. Each step returns false after it has refused.
class Item {
  public:
    Item(const Config &config, const LoaderHost &host, std::string_view text)
        : config_(config), host_(host), text_(text) {
        found_.path[0] = '\0';
    }

    [[nodiscard]] bool load();

  private:
    const taskwatch_watcher *find_built_in();
    bool find();
    bool find_again();
    bool check_file();
    bool check_room() const;
    bool check_version(uint32_t abi_version, uint32_t size) const;
    bool name_is_free(const char *name) const;
    bool open(void *&ret_handle) const;
    bool load_built_in(const taskwatch_watcher &descriptor);
    bool load_file();
    bool admit(void *handle, bool registered, Watcher &watcher) const;
    bool check_descriptor(const taskwatch_watcher &descriptor) const;
    bool start(const taskwatch_watcher &descriptor, Watcher &watcher) const;

    // "watcher 'NAME': ", and for a reason that lies in a file found by its name, that file.
    Line refusal() const;
    Line file_refusal() const;
    bool refuse(Line &line) const;

    const Config &config_;
    const LoaderHost &host_;
    std::string_view text_;
    char variable_[64];  // of its options
    FoundWatcher found_;  // the path is empty for a built-in one
};

Line Item::refusal() const {
    Line line;
    // Of a very long path the beginning will do: the reason has to find room.
    line << "watcher '" << text_.substr(0, max_shown) << (text_.size() > max_shown ? "...': " : "': ");
    return line;
}

Line Item::file_refusal() const {
    Line line = refusal();
    if (text_[0] != '/' && found_.path[0]) line << found_.path << ": ";
    return line;
}

bool Item::refuse(Line &line) const {
    print(host_, line);
    return false;
}

bool Item::find() {
    Line line = refusal();
    return find_watcher(text_, config_.path, host_.own_folder, found_, line) || refuse(line);
}

// Null: it is a file's, or nobody's.
const taskwatch_watcher *Item::find_built_in() {
    if (!host_.built_in || text_[0] == '/') return nullptr;
    const taskwatch_watcher *descriptor = host_.built_in(text_);
    if (!descriptor || !locate_watcher(text_, config_.path, nullptr, found_.path)) {
        found_.path[0] = '\0';
        return descriptor;
    }
    return nullptr;
}

// The path alone; what is wrong with the file by now the dynamic linker will say.
bool Item::find_again() {
    if (!locate_watcher(text_, config_.path, host_.own_folder, found_.path)) return find() && check_file();
    found_.file = WatcherFile{};
    found_.file.descriptor = WatcherFile::Descriptor::unknown;
    if (watcher_count < max_watchers && option_variable(found_.path, variable_) == 0) return true;
    return refuse(refusal() << "the list is not the one that was loaded before");
}

bool Item::check_version(uint32_t abi_version, uint32_t size) const {
    if (abi_version != TASKWATCH_ABI_VERSION)
        return refuse(file_refusal() << "made for version " << abi_version
                           << " of the watcher interface; this library has "
                           << "version " << TASKWATCH_ABI_VERSION << ", compile it anew");
    if (size < version_1_size)
        return refuse(file_refusal() << "its descriptor has " << size << " bytes; set .size to sizeof(struct "
                           << "taskwatch_watcher), " << version_1_size << " or more");
    return true;
}

bool Item::name_is_free(const char *name) const {
    for (unsigned n = 0; n < watcher_count; n++)
        if (strcmp(watcher_at(n).name, name) == 0) {
            return refuse(file_refusal() << "a watcher named '" << name
                               << "' is loaded already; each needs its own name");
        }
    return true;
}

bool Item::check_room() const {
    if (watcher_count < max_watchers) return true;
    return refuse(file_refusal() << "one too many; at most " << max_watchers << " watchers are loaded");
}

// What can be known before any of its code runs.
bool Item::check_file() {
    const WatcherFile &file = found_.file;
    if (file.unfit) return refuse(file_refusal() << file.unfit);
    for (unsigned n = 0; n < watcher_count; n++)
        if (watcher_at(n).dev == file.dev && watcher_at(n).ino == file.ino)
            return refuse(file_refusal() << "this file is loaded already; name each watcher once");
    if (!check_room()) return false;

    int error = option_variable(found_.path, variable_);
    if (error == ENAMETOOLONG)
        return refuse(
            file_refusal() << "no room for its name in TASKWATCH_<NAME>, 63 bytes; give the file a shorter one");
    if (error != 0)
        return refuse(file_refusal() << "TASKWATCH_<NAME> would be a variable of the library's; rename the file");
    if (file.descriptor == WatcherFile::Descriptor::found) return check_version(file.abi_version, file.size);

    // Its constructor registers under this name.
    char name[max_watcher_name + 1];
    derive_watcher_name(found_.path, name);
    return name_is_free(name);
}

bool Item::open(void *&ret_handle) const {
    // RTLD_NOW: a missing symbol is found here and not in the middle of a fork.
    ret_handle = dlopen(found_.path, RTLD_NOW | RTLD_LOCAL);
    if (ret_handle) return true;

    const char *text = dlerror();
    std::string_view why = text ? text : "refused by the dynamic linker";
    if (std::string_view path = found_.path;
        why.starts_with(path) && why.substr(path.size()).starts_with(": "))
        why.remove_prefix(path.size() + 2);
    return refuse(file_refusal() << why << "; a watcher has to find all it needs when it is loaded");
}

bool Item::check_descriptor(const taskwatch_watcher &descriptor) const {
    if (!check_version(descriptor.abi_version, descriptor.size)) return false;
    if (descriptor.name == nullptr ||
        !is_watcher_name({descriptor.name, strnlen(descriptor.name, max_watcher_name + 1)}))
        return refuse(
            file_refusal() << "no good name in its descriptor; set .name to 1 to 31 characters of a-z 0-9 _ -");
    if (descriptor.notify == nullptr) return refuse(file_refusal() << "no callback in its descriptor; set .notify");
    if ((descriptor.events & WATCH_MASK_ALL) == 0 || (descriptor.events & ~known_events) != 0)
        return refuse(
            file_refusal() << "no events, or unknown ones, in its descriptor; set .events to WATCH_MASK_ bits");
    return name_is_free(descriptor.name);
}

// init and registration of a watcher with a descriptor.
bool Item::start(const taskwatch_watcher &descriptor, Watcher &watcher) const {
    strcpy(watcher.name, descriptor.name);
    watcher.block = {descriptor.notify, nullptr, descriptor.priority};
    Options options(environment_value(host_.envp, variable_));
    if (options.text() == nullptr) return refuse(refusal() << "no memory for its options; shorten " << variable_);
    if (descriptor.init)
        if (const char *message = descriptor.init(&watcher.block, options.text()))
            return refuse(refusal() << message);

    int error = host_.chain->add(&watcher.block, descriptor.events, watcher.name, watcher_number);
    if (error == ENOSPC)
        return refuse(refusal() << "the chain is full; at most " << WATCH_CHAIN_CAPACITY
                           << " blocks are registered");
    if (error != 0) return refuse(refusal() << error_text(error) << "; it was not registered");
    watcher.fini = descriptor.fini;
    return true;
}

// A loaded file: a watcher with a descriptor, or one whose constructor has registered.
bool Item::admit(void *handle, bool registered, Watcher &watcher) const {
    const taskwatch_watcher *descriptor = nullptr;
    // dlsym() would also find one in a library that the watcher needs.
    if (found_.file.descriptor != WatcherFile::Descriptor::none) {
        descriptor = static_cast<const taskwatch_watcher *>(dlsym(handle, "taskwatch_watcher"));
        // A program that asks dlerror() first must not be told of our question.
        if (descriptor == nullptr) dlerror();
    }
    if (descriptor) return check_descriptor(*descriptor) && start(*descriptor, watcher);
    if (registered) return true;
    return refuse(
        file_refusal() << "no descriptor, and its constructor registered nothing; export taskwatch_watcher or "
             << "call register_task_watcher()");
}

bool Item::load_built_in(const taskwatch_watcher &descriptor) {
    if (!check_room() || !name_is_free(descriptor.name)) return false;
    Watcher &watcher = watcher_at(watcher_count);
    watcher = {};
    if (option_variable(descriptor.name, variable_) != 0 || !start(descriptor, watcher)) return false;
    watcher_count++;
    return true;
}

bool Item::load_file() {
    if (host_.loaded_before ? !find_again() : !find() || !check_file()) return false;

    Watcher &watcher = watcher_at(watcher_count);
    watcher = {};
    watcher.dev = found_.file.dev;
    watcher.ino = found_.file.ino;
    derive_watcher_name(found_.path, watcher.name);

    uint64_t before = newest_registration(*host_.chain);
    auto registered = [&] { return newest_registration(*host_.chain) != before; };
    void *handle = nullptr;
    loading = watcher.name;
    bool loaded = open(handle) && admit(handle, registered(), watcher);
    loading = nullptr;

    // A refused one whose code is in the chain all the same (it registered a block beside its
    // descriptor) has to stay in memory, and its name too.
    if (loaded || registered())
        watcher_count++;
    else if (handle)
        dlclose(handle);
    return loaded;
}

bool Item::load() {
    const taskwatch_watcher *built_in = find_built_in();
    return built_in ? load_built_in(*built_in) : load_file();
}

}  // namespace

int load_watchers(const Config &config, const LoaderHost &host) {
    if (config.watchers == nullptr) return 0;
    int saved_errno = errno;
    int refused = 0;
    for_each_piece(config.path, [&](std::string_view folder) {
        if (folder[0] == '/') return;
        Line line;
        print(host, line << "TASKWATCH_PATH: '" << folder << "' is a relative folder; give absolute ones");
        refused++;
    });
    for_each_piece(config.watchers, [&](std::string_view text) {
        Item item(config, host, text);
        if (!item.load()) refused++;
    });
    errno = saved_errno;
    return refused;
}

const char *loading_name() { return loading ? loading : "program"; }

void finish_watchers(int reason) {
    // Two threads may end the process at once.
    if (finished.exchange(true)) return;
    for (unsigned n = 0; n < watcher_count; n++)
        if (watcher_at(n).fini) watcher_at(n).fini(reason);
}

}  // namespace taskwatch
